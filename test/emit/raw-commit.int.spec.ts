import {
  defineEvent,
  EventTransactionFailedError,
  type HandlerContext,
} from 'nestjs-durable-events';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readDeliveries } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { nextSignal } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';

const Placed = defineEvent<{ n: number }>('placed');

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

it('no event is written after a COMMIT that was sent as a text, and the commit throws', async () => {
  const app = await startApp({
    url: backends.database.url,
    events: {
      namespace: newNamespace(),
      queue: backends.redis,
      relay: { enabled: false },
      workers: { enabled: false },
    },
  });
  const emit = (n: number) => app.bus.emit(Placed, { n });
  const work = app.dataSource.transaction(async (manager) => {
    await emit(1);
    await manager.query('COMMIT');
    await expect(emit(2)).rejects.toThrow(/ended this transaction before its time/);
  });
  await expect(work).rejects.toBeInstanceOf(EventTransactionFailedError);
  const saved = await app.dataSource.query<{ data: unknown }[]>('SELECT data FROM events_outbox');
  // MariaDB has JSON as text.
  expect(saved.map(({ data }) => (typeof data === 'string' ? JSON.parse(data) : data))).toEqual([
    { n: 1 },
  ]);
  // The same connection is as good as any other afterwards.
  await app.dataSource.transaction(() => emit(3));
});

it.each(['COMMIT', 'ROLLBACK'])('a transactional handler that sends %s has failed', async (sql) => {
  const namespace = newNamespace();
  const app = await startApp({
    url: backends.database.url,
    events: { namespace, queue: backends.redis, defaults: { attempts: 2, backoff: 5 } },
    providers: [
      onEvent(Placed, { id: 'ends', transactional: true }, (_event, { manager }: HandlerContext) =>
        manager.query(sql),
      ),
    ],
  });
  const dead = nextSignal(app.signals, 'delivery.dead');
  await emitIn(app, Placed, { n: 1 });
  expect((await dead).error).toBeInstanceOf(EventTransactionFailedError);
  expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([
    { status: 'dead', attempts: 2 },
  ]);
  expect((await app.health.check()).ledger).toMatchObject({ difference: 0 });
});
