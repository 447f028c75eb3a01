import { DataSource } from 'typeorm';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createStores } from '../../../lib/store/create-store.js';
import type { Stores } from '../../../lib/store/store.js';
import { DEFAULT_TABLES, up } from '../../../lib/store/migrations/migrator.js';
import { handler, LIMITS, record } from '../../contract/contract-context.js';
import { createMariadbDatabase, type TestDatabase } from '../../support/database.js';

let database: TestDatabase;
let dataSource: DataSource;
beforeAll(async () => {
  database = await createMariadbDatabase();
  dataSource = await new DataSource({ type: 'mysql', url: database.url }).initialize();
  await up(dataSource.createQueryRunner());
});
afterAll(async () => {
  await dataSource.destroy();
  await database.drop();
});

async function open(namespace: string): Promise<Stores> {
  const stores = createStores(dataSource, { namespace, tables: DEFAULT_TABLES });
  await stores.events.prepare();
  return stores;
}

/** As long as free texts may be, and as many bytes. */
const LONG = '€'.repeat(512);

it('records many long errors at once', async () => {
  const { events, deadLetters } = await open('errors');
  await events.registerHandlers([handler('mails')]);
  await events.append(Array.from({ length: 50 }, () => record()));
  await events.relay(LIMITS);
  const error = `line\n${'x'.repeat(200 * 1024)}`;
  const attempts = Array.from({ length: 50 }, (_, index) => ({
    position: index + 1,
    handler: 'mails',
    epoch: 0,
    attempt: 1,
    error,
    dead: true,
    retryInMs: 0,
  }));
  expect(await events.fail(attempts, 1_000)).toEqual(attempts.map(() => true));
  const dead = await deadLetters.list({}, 100);
  expect(dead.map(({ lastError }) => lastError)).toEqual(attempts.map(() => error));
}, 60_000);

it('takes 1,000 events with the longest texts', async () => {
  const { events } = await open('long');
  const records = Array.from({ length: 1_000 }, () =>
    record({
      key: LONG,
      entityType: '€'.repeat(200),
      entityId: LONG,
      actorType: LONG,
      actorId: LONG,
      causationId: LONG,
      correlationId: LONG,
    }),
  );
  expect(await events.append(records)).toHaveLength(1_000);
  const order = await dataSource.query<{ event_id: string }[]>(
    `SELECT event_id FROM events_outbox WHERE namespace = 'long' ORDER BY seq`,
  );
  expect(order.map(({ event_id }) => event_id)).toEqual(records.map(({ eventId }) => eventId));
}, 60_000);

it('takes many long idempotency keys at once', async () => {
  const { events } = await open('keys');
  const records = () =>
    Array.from({ length: 6_000 }, (_, n) => record({ idempotencyKey: `${n}-${'€'.repeat(500)}` }));
  const first = await events.append(records());
  expect(first.filter(({ duplicate }) => duplicate)).toEqual([]);
  const again = await events.append(records());
  expect(again).toEqual(first.map(({ eventId }) => ({ eventId, duplicate: true })));
}, 60_000);
