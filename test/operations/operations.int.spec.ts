import { defineEvent, HandlerRegistry, Operations } from 'nestjs-durable-events';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readDeliveries, upTo } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { countSignals, nextSignal, recordSignals } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';

const Happened = defineEvent<{ n: number }>('happened');

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

const startShop = (namespace: string) =>
  startApp({
    url: backends.database.url,
    events: { namespace, queue: backends.redis, defaults: { attempts: 5, backoff: '1h' } },
    providers: [
      onEvent(Happened, { id: 'gone' }, () => {
        throw new Error('as it must');
      }),
    ],
  });

/** A retirement that leaves the second of three deliveries, since somebody holds it. */
async function retireBesides(namespace: string) {
  const app = await startShop(namespace);
  const failed = countSignals(app.signals, 'delivery.failed', 3);
  await app.dataSource.transaction(() =>
    app.bus.emitMany(upTo(3).map((n) => [Happened, { n }] as const)),
  );
  await failed;
  const runner = app.dataSource.createQueryRunner();
  await runner.startTransaction();
  await runner.sql`
    SELECT 1 FROM events_deliveries WHERE namespace = ${namespace} AND position = 2 FOR UPDATE`;
  const registry = app.context.get(HandlerRegistry);
  const operation = await registry.retire('gone', { force: true, reason: 'no more', by: 'ann' });
  const release = async () => {
    await runner.rollbackTransaction();
    await runner.release();
  };
  return { app, registry, operation, release };
}

it('a retirement tells what it left, and is finished as a part of itself when that is free', async () => {
  const namespace = newNamespace();
  const { app, registry, operation, release } = await retireBesides(namespace);
  expect(operation).toMatchObject({ affected: 2, left: 1 });
  const vanished = recordSignals(app.signals, 'handler.vanished');
  await registry.finishRetirements();
  await registry.reportVanished();
  await registry.reportVanished();
  expect(vanished).toMatchObject([{ handler: 'gone', deliveries: 1, retired: true }]);
  await release();
  const ended = recordSignals(app.signals, 'operation.ended');
  await registry.finishRetirements();
  await registry.finishRetirements();
  expect(ended).toMatchObject([{ id: operation.id, affected: 3, left: 0, by: 'ann' }]);
  const rows = await readDeliveries(app.dataSource, namespace);
  expect(rows.map(({ status, last_error }) => `${status} ${last_error}`)).toEqual(
    upTo(3).map(() => 'dead The handler was retired: no more'),
  );
  expect(await app.context.get(Operations).latest()).toMatchObject([{ affected: 3 }]);
  expect((await app.health.check()).ledger.difference).toBe(0);
}, 30_000);

it('a process that boots finishes a retirement whose process died before it had begun', async () => {
  const namespace = newNamespace();
  const app = await startShop(namespace);
  const failed = nextSignal(app.signals, 'delivery.failed');
  await emitIn(app, Happened, { n: 1 });
  await failed;
  await app.dataSource.sql`
    UPDATE events_handlers SET retired_at = last_seen_at WHERE namespace = ${namespace}`;
  const next = await startApp({
    url: backends.database.url,
    events: { namespace, queue: backends.redis, workers: { enabled: false } },
  });
  expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([
    { status: 'dead', last_error: 'The handler was retired' },
  ]);
  expect(await next.context.get(Operations).latest()).toMatchObject([
    { kind: 'retire', target: { handler: 'gone' }, affected: 1, endedAt: expect.any(Date) as Date },
  ]);
});

it('B4: a retirement comes back to what a transaction had locked', async () => {
  const namespace = newNamespace();
  const app = await startApp({
    url: backends.database.url,
    events: { namespace, queue: backends.redis, defaults: { attempts: 5, backoff: '1h' } },
    providers: [
      onEvent(Happened, { id: 'gone' }, () => {
        throw new Error('as it must');
      }),
    ],
  });
  const failed = countSignals(app.signals, 'delivery.failed', 3);
  await app.dataSource.transaction(() =>
    app.bus.emitMany(upTo(3).map((n) => [Happened, { n }] as const)),
  );
  await failed;
  const runner = app.dataSource.createQueryRunner();
  await runner.startTransaction();
  await runner.sql`
    SELECT 1 FROM events_deliveries WHERE namespace = ${namespace} AND position = 2 FOR UPDATE`;
  const progressed = nextSignal(app.signals, 'operation.progressed');
  const operation = app.context.get(HandlerRegistry).retire('gone', { force: true });
  expect(await progressed).toMatchObject({ kind: 'retire', affected: 2 });
  await runner.rollbackTransaction();
  await runner.release();
  expect(await operation).toMatchObject({ affected: 3 });
  const rows = await readDeliveries(app.dataSource, namespace);
  expect(rows.map(({ status }) => status)).toEqual(['dead', 'dead', 'dead']);
});
