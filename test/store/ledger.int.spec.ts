import type { DataSource } from 'typeorm';
import { afterEach, expect, it, onTestFinished } from 'vitest';
import { createStores } from '../../lib/store/create-store.js';
import { DEFAULT_TABLES, eventsMigrator } from '../../lib/store/migrations/migrator.js';
import type { Stores } from '../../lib/store/store.js';
import { appendMany, handler, relayOnce } from '../contract/contract-context.js';
import { OPERATION } from '../contract/operations.contract.js';
import { openDataSource } from '../support/data-source.js';
import { createTestDatabase, onPostgres } from '../support/database.js';
import { eventually } from '../support/wait.js';

/** More than it takes for the ledger to be added up. */
const INCREMENTS = 210;

let dataSource: DataSource;
afterEach(() => dataSource.destroy());

async function open(): Promise<Stores> {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  dataSource = await openDataSource(database.url);
  const runner = dataSource.createQueryRunner();
  await eventsMigrator.up(runner);
  await runner.release();
  const stores = createStores(dataSource, { namespace: 'n', tables: DEFAULT_TABLES });
  await stores.events.prepare();
  return stores;
}

const untilShort = () =>
  eventually(
    async () => {
      const [row] = await dataSource.query<[{ amount: string }]>(
        'SELECT count(*) AS amount FROM events_ledger',
      );
      return Number(row.amount) < INCREMENTS / 2;
    },
    { what: 'the ledger is added up' },
  );

it('the ledger is added up where nothing is ever completed', async () => {
  const { events, health } = await open();
  for (let pass = 0; pass < INCREMENTS; pass++) {
    await appendMany(events, 1);
    await relayOnce(events);
  }
  await untilShort();
  expect(await health.figures(10)).toMatchObject({ unhandled: INCREMENTS, delivered: 0 });
});

// On MariaDB and MySQL relay passes and completions see to it.
it.runIf(onPostgres)('the ledger is added up where all is discarded', async () => {
  const { events, deadLetters, operations, health } = await open();
  await events.registerHandlers([handler('mails')]);
  await appendMany(events, INCREMENTS);
  const relayed = await relayOnce(events);
  const failed = relayed.events.map(({ position }) => ({
    position,
    handler: 'mails',
    epoch: 0,
    attempt: 1,
    error: 'x',
    dead: true,
    retryInMs: 0,
  }));
  await events.fail(failed, 1_000);
  const id = await operations.start(OPERATION);
  let from: string | undefined;
  do {
    from = (await deadLetters.discard(id, {}, 'old', { limit: 1, from })).next;
  } while (from !== undefined);
  await untilShort();
  expect(await health.figures(10)).toMatchObject({ discarded: INCREMENTS, dead: 0 });
});
