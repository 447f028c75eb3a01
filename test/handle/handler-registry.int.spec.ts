import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import {
  defineEvent,
  HandlerInUseError,
  HandlerRegistry,
  Operations,
  UnknownHandlerError,
  type Duration,
} from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { countOutbox, readDeliveries, upTo } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { registerHandler } from '../support/register-handler.js';
import { insertDeliveries } from '../support/seed.js';
import { nextSignal } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestApp, type TestBackends } from '../support/test-app.js';
import { deferred, eventually } from '../support/wait.js';

const Happened = defineEvent<{ n: number }>('happened');

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

/** Nobody has had it for an hour, unless said otherwise. */
const register = (
  { dataSource }: TestApp,
  namespace: string,
  id: string,
  ago: Duration = '1h',
  aliases: string[] = [],
) => registerHandler(dataSource, namespace, id, { ago, aliases });

async function leaveWaiting({ dataSource }: TestApp, namespace: string, id: string, count: number) {
  await insertDeliveries(dataSource, namespace, { handler: id, count, from: 100 });
}

const start = (namespace: string, ids: readonly string[] = ['stays']) =>
  startApp({
    url: backends.database.url,
    events: { namespace, queue: backends.redis },
    providers: ids.map((id) => onEvent(Happened, { id }, () => undefined)),
  });

describe('HandlerRegistry.retire', () => {
  it('ends new deliveries, and makes what waits dead with the reason, in batches', async () => {
    const namespace = newNamespace();
    const app = await start(namespace);
    await register(app, namespace, 'gone', '1h', ['gone-long-ago']);
    await leaveWaiting(app, namespace, 'gone', 501);
    await leaveWaiting(app, namespace, 'gone-long-ago', 1);
    const registry = app.context.get(HandlerRegistry);
    const operation = await registry.retire('gone', { reason: 'we print no more', by: 'ann' });
    expect(operation).toMatchObject({
      kind: 'retire',
      target: { handler: 'gone' },
      affected: 502,
      by: 'ann',
    });
    const done = nextSignal(app.signals, 'delivery.completed');
    await emitIn(app, Happened, { n: 1 });
    await done;
    const rows = await readDeliveries(app.dataSource, namespace);
    expect(rows.filter(({ position }) => position === 1)).toMatchObject([{ handler: 'stays' }]);
    expect(rows.filter(({ status }) => status === 'dead')).toHaveLength(502);
    expect(rows.at(-1)!.last_error).toBe('The handler was retired: we print no more');
    expect(await registry.list()).toMatchObject([
      { id: 'gone', retiredAt: expect.any(Date) as Date },
      { id: 'stays', retiredAt: undefined, events: ['happened'] },
    ]);
  });

  it('a second call takes what was left', async () => {
    const namespace = newNamespace();
    const app = await start(namespace);
    await register(app, namespace, 'gone');
    const registry = app.context.get(HandlerRegistry);
    expect(await registry.retire('gone')).toMatchObject({ affected: 0 });
    await leaveWaiting(app, namespace, 'gone', 2);
    expect(await registry.retire('gone')).toMatchObject({ affected: 2 });
  });

  it('leaves deliveries of a former id that another handler has taken over', async () => {
    const namespace = newNamespace();
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends.redis },
      providers: [onEvent(Happened, { id: 'heir', aliases: ['shared'] }, () => undefined)],
    });
    await register(app, namespace, 'gone', '1h', ['shared']);
    await leaveWaiting(app, namespace, 'shared', 1);
    const registry = app.context.get(HandlerRegistry);
    expect(await registry.retire('gone')).toMatchObject({ affected: 0 });
  });

  it('refuses one that a process has, unless forced, and one that nobody knows', async () => {
    const namespace = newNamespace();
    const app = await start(namespace);
    await register(app, namespace, 'elsewhere', '10s');
    const registry = app.context.get(HandlerRegistry);
    await expect(registry.retire('stays')).rejects.toThrow(HandlerInUseError);
    await expect(registry.retire('elsewhere')).rejects.toThrow(/was there 1\d s ago/);
    await expect(registry.retire('stayz')).rejects.toThrow(UnknownHandlerError);
    await expect(registry.retire('stayz')).rejects.toThrow('did you mean "stays"?');
    await registry.retire('elsewhere', { force: true });
    const done = nextSignal(app.signals, 'delivery.completed');
    await emitIn(app, Happened, { n: 1 });
    await done;
    expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([{ handler: 'stays' }]);
  });

  it('changes nothing where the call itself is wrong', async () => {
    const namespace = newNamespace();
    const app = await start(namespace);
    await register(app, namespace, 'gone');
    const registry = app.context.get(HandlerRegistry);
    await expect(registry.retire('gone', { reason: 'x'.repeat(501) })).rejects.toThrow('"reason"');
    await expect(registry.retire('gone', { forced: true } as never)).rejects.toThrow(
      '"retire.forced" is unknown (its value is true); did you mean "force"?',
    );
    expect(await registry.list()).toMatchObject([{ id: 'gone', retiredAt: undefined }, {}]);
    expect(await app.context.get(Operations).latest()).toEqual([]);
  });

  it('no relay pass makes a delivery for it any more once it is retired', async () => {
    const namespace = newNamespace();
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends.redis, relay: { batchSize: 5 } },
      providers: [onEvent(Happened, { id: 'stays' }, () => undefined)],
    });
    await register(app, namespace, 'gone');
    const emitting = app.dataSource.transaction(() =>
      app.bus.emitMany(upTo(60).map((n) => [Happened, { n }] as const)),
    );
    const moved = nextSignal(app.signals, 'relay.moved');
    await emitting;
    await moved;
    await app.context.get(HandlerRegistry).retire('gone');
    const settled = async () => (await countOutbox(app.dataSource, namespace)) === 0;
    await eventually(settled, { what: 'the relay is through' });
    const rows = await readDeliveries(app.dataSource, namespace);
    expect(rows.filter(({ handler, status }) => handler === 'gone' && status !== 'dead')).toEqual(
      [],
    );
    expect((await app.health.check()).ledger.difference).toBe(0);
  });

  it('what a retired handler still runs is not completed', async () => {
    const namespace = newNamespace();
    const [running, go] = [deferred(), deferred()];
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends.redis },
      providers: [
        onEvent(Happened, { id: 'slow' }, async () => {
          running.resolve();
          await go.promise;
        }),
      ],
    });
    const skipped = nextSignal(app.signals, 'delivery.skipped');
    await emitIn(app, Happened, { n: 1 });
    await running.promise;
    await app.context.get(HandlerRegistry).retire('slow', { force: true });
    go.resolve();
    expect((await skipped).reason).toBe('it was done meanwhile');
    expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([{ status: 'dead' }]);
  });
});

describe('handlers that vanished', () => {
  it('are reported at boot while deliveries wait for them, once', async () => {
    const namespace = newNamespace();
    const before = await start(namespace);
    await register(before, namespace, 'gone');
    await register(before, namespace, 'gone-and-idle');
    await register(before, namespace, 'elsewhere', '10s');
    await leaveWaiting(before, namespace, 'gone', 3);
    await leaveWaiting(before, namespace, 'elsewhere', 3);
    await before.close();
    const reported = recordVanished(namespace);
    const app = await start(namespace, ['new']);
    expect(reported).toMatchObject([{ handler: 'gone', deliveries: 3 }]);
    await app.context.get(HandlerRegistry).reportVanished();
    expect(reported).toHaveLength(1);
  });

  it('are not reported where another handler has taken over their id', async () => {
    const namespace = newNamespace();
    const before = await start(namespace);
    await register(before, namespace, 'gone');
    await register(before, namespace, 'heir', '10s', ['gone']);
    await leaveWaiting(before, namespace, 'gone', 3);
    await before.close();
    const reported = recordVanished(namespace);
    await start(namespace, ['new']);
    expect(reported).toEqual([]);
  });

  /** A boot is over before anybody can listen to the application's own signals. */
  function recordVanished(namespace: string): unknown[] {
    const seen: unknown[] = [];
    const listen = (message: unknown) => {
      if ((message as { namespace: string }).namespace === namespace) seen.push(message);
    };
    subscribe('nestjs-durable-events:handler.vanished', listen);
    onTestFinished(() => void unsubscribe('nestjs-durable-events:handler.vanished', listen));
    return seen;
  }
});
