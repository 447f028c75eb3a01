import { defineEvent } from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QUEUE_KINDS } from '../support/bull.js';
import { readPositions, sorted, upTo } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { proxiedQueue } from '../support/proxied.js';
import { countSignals, nextSignal } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';

const Happened = defineEvent<{ n: number }>('happened');
const FAULTS = ['cut', 'blackhole'] as const;

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

describe.each(QUEUE_KINDS.flatMap((kind) => FAULTS.map((fault) => ({ kind, fault }))))(
  'BullMQ on $kind out of reach at boot ($fault)',
  ({ kind, fault }) => {
    it('D4: at boot: the app boots, emits go on, and everything is handled when it is back', async () => {
      const { proxy, queue } = await proxiedQueue(backends, kind);
      proxy[fault]();
      const namespace = newNamespace();
      const handled: number[] = [];
      const booting = performance.now();
      const app = await startApp({
        url: backends.database.url,
        events: { namespace, queue, shutdownTimeout: '1s' },
        providers: [onEvent(Happened, { id: 'noted' }, ({ data }) => handled.push(data.n))],
      });
      expect(performance.now() - booting).toBeLessThan(10_000);
      const failed = nextSignal(app.signals, 'relay.failed');
      for (const n of upTo(5)) await emitIn(app, Happened, { n });
      expect(String((await failed).error)).toMatch(/can't be reached/);
      // They wait in the outbox, not in this process's memory.
      expect(await readPositions(app.dataSource, namespace)).toEqual([]);

      const back = nextSignal(app.signals, 'queue.available');
      const completed = countSignals(app.signals, 'delivery.completed', 5);
      proxy.heal();
      await back;
      await completed;
      expect(sorted(handled)).toEqual(upTo(5));
      expect(await readPositions(app.dataSource, namespace)).toEqual(upTo(5));
    });
  },
);
