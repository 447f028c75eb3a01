import { defineEvent } from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { readDeliveries } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { TcpProxy } from '../support/proxy.js';
import { nextSignal, recordSignals } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';

const Happened = defineEvent<{ n: number }>('happened');

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

/** An app whose database, but not its queue, is behind a proxy. */
async function startBehindProxy(handle: (proxy: TcpProxy) => unknown) {
  const url = new URL(backends.database.url);
  const proxy = await TcpProxy.listen(url.hostname, Number(url.port));
  onTestFinished(() => proxy.close());
  url.hostname = '127.0.0.1';
  url.port = String(proxy.port);
  const namespace = newNamespace();
  const app = await startApp({
    url: url.toString(),
    events: { namespace, queue: backends.redis, defaults: { attempts: 1 } },
    providers: [onEvent(Happened, { id: 'noted' }, () => handle(proxy))],
  });
  return { app, proxy, namespace };
}

describe('a database out of reach for a while', () => {
  it('C12: is no end of the relay, which goes on by itself', async () => {
    const { app, proxy } = await startBehindProxy(() => undefined);
    const failed = nextSignal(app.signals, 'relay.failed');
    const recovered = nextSignal(app.signals, 'relay.recovered');
    proxy.cut();
    await failed;
    await expect(emitIn(app, Happened, { n: 1 })).rejects.toThrow(
      /connect|reset|terminated|ended|EPIPE/i,
    );
    proxy.heal();
    await recovered;
    const completed = nextSignal(app.signals, 'delivery.completed');
    await emitIn(app, Happened, { n: 2 });
    expect(await completed).toMatchObject({ position: 1 });
  });

  it('C12: while a handler ends: its completion is saved a moment later, and it runs once', async () => {
    let runs = 0;
    const { app, namespace } = await startBehindProxy((proxy) => {
      runs++;
      proxy.cut();
      setTimeout(() => proxy.heal(), 200);
    });
    const postponed = recordSignals(app.signals, 'delivery.postponed');
    const completed = nextSignal(app.signals, 'delivery.completed');
    await emitIn(app, Happened, { n: 1 });
    await completed;
    expect(postponed).toEqual([]);
    expect(runs).toBe(1);
    expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([
      { status: 'completed', attempts: 1 },
    ]);
  });

  it('C12: while a handler fails: that costs no attempt, for it may be the reason', async () => {
    let runs = 0;
    const { app, proxy, namespace } = await startBehindProxy(() => {
      if (++runs > 1) return;
      proxy.cut();
      throw new Error('connect ECONNREFUSED');
    });
    const postponed = nextSignal(app.signals, 'delivery.postponed');
    const completed = nextSignal(app.signals, 'delivery.completed');
    await emitIn(app, Happened, { n: 1 });
    await postponed;
    proxy.heal();
    expect(await completed).toMatchObject({ attempt: 1 });
    expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([
      { status: 'completed', attempts: 1, last_error: null },
    ]);
  });
});
