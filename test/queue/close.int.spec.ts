import { defineEvent } from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QUEUE_KINDS } from '../support/bull.js';
import { onEvent } from '../support/inline-handler.js';
import { proxiedQueue } from '../support/proxied.js';
import { nextSignal } from '../support/signals.js';
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
  'BullMQ on $kind out of reach at the shutdown ($fault)',
  ({ kind, fault }) => {
    it.each(['at boot', 'later'])('D12: %s: close() is in time', async (when) => {
      const { proxy, queue } = await proxiedQueue(backends, kind);
      if (when === 'at boot') proxy[fault]();
      const app = await startApp({
        url: backends.database.url,
        events: {
          namespace: newNamespace(),
          queue,
          queues: { mail: {}, other: {} },
          shutdownTimeout: '1s',
        },
        providers: [onEvent(Happened, { id: 'noted' }, () => undefined)],
      });
      if (when === 'later') {
        const completed = nextSignal(app.signals, 'delivery.completed');
        await emitIn(app, Happened, { n: 1 });
        await completed;
        proxy[fault]();
      }
      await emitIn(app, Happened, { n: 2 });
      const closing = performance.now();
      await app.close();
      // Its time, and what a busy machine stands still; less than one command waits for its answer.
      expect(performance.now() - closing).toBeLessThan(4_500);
    });
  },
);
