import { defineEvent } from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jobCount, openBull, QUEUE_KINDS } from '../support/bull.js';
import { readDeliveries, sorted, upTo } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { proxiedQueue } from '../support/proxied.js';
import { countSignals, nextSignal, recordSignals } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';
import { deferred, eventually } from '../support/wait.js';

const Happened = defineEvent<{ n: number }>('happened');
const FAULTS = ['cut', 'blackhole'] as const;

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

describe.each(QUEUE_KINDS.flatMap((kind) => FAULTS.map((fault) => ({ kind, fault }))))(
  'BullMQ on $kind out of reach while handlers run ($fault)',
  ({ kind, fault }) => {
    it('D4 D9: while handlers run: nothing is lost, nothing done is run again', async () => {
      const { proxy, queue } = await proxiedQueue(backends, kind);
      const namespace = newNamespace();
      const release = deferred();
      const runs: number[] = [];
      const app = await startApp({
        url: backends.database.url,
        events: {
          namespace,
          queue,
          workers: { lockDuration: '1s', pollInterval: '200ms' },
          shutdownTimeout: '1s',
        },
        providers: [
          onEvent(Happened, { id: 'slow' }, async ({ data }) => {
            runs.push(data.n);
            await release.promise;
          }),
        ],
      });
      const outages = recordSignals(app.signals, 'queue.unavailable');
      const started = countSignals(app.signals, 'delivery.started', 3);
      for (const n of upTo(3)) await emitIn(app, Happened, { n });
      await started;
      proxy[fault]();
      const done = countSignals(app.signals, 'delivery.completed', 3);
      release.resolve();
      // The database takes their completions; the queue hears of them later.
      await done;
      await emitIn(app, Happened, { n: 4 });
      await nextSignal(app.signals, 'relay.failed');
      const last = nextSignal(app.signals, 'delivery.completed');
      proxy.heal();
      expect((await last).position).toBe(4);
      const bull = await openBull(backends, kind, namespace);
      await eventually(async () => (await jobCount(bull)) === 0, { what: 'no job is left' });
      expect(sorted(runs)).toEqual(upTo(4));
      for (const row of await readDeliveries(app.dataSource, namespace)) {
        expect(row).toMatchObject({ status: 'completed', attempts: 1 });
      }
      expect(outages.length).toBeGreaterThan(0);
    });
  },
);

it('C12: the relay goes on as soon as the queue is back, not when its retry is due', async () => {
  const { proxy, queue } = await proxiedQueue(backends, 'redis');
  const app = await startApp({
    url: backends.database.url,
    events: { namespace: newNamespace(), queue },
    providers: [onEvent(Happened, { id: 'noted' }, () => undefined)],
  });
  // Sure to come within 14 seconds: each wait is at least half of twice the one before. So long that
  // a busy machine may stand still for a while after it.
  const isRare = ({ retryInMs }: { retryInMs: number }) => retryInMs > 6_000;
  const rare = countSignals(app.signals, 'relay.failed', 1, isRare, 30_000);
  proxy.cut();
  await emitIn(app, Happened, { n: 1 });
  const { retryInMs } = (await rare)[0]!;
  const completed = nextSignal(app.signals, 'delivery.completed');
  const healed = performance.now();
  proxy.heal();
  await completed;
  // A look at the queue's mark, every two seconds, notices; its connection is back before.
  expect(performance.now() - healed).toBeLessThan(retryInMs - 200);
}, 60_000);
