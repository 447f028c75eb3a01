import { DataSource } from 'typeorm';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createStores } from '../../../lib/store/create-store.js';
import type { EventStore } from '../../../lib/store/event-store.js';
import { DEFAULT_TABLES, eventsMigrator } from '../../../lib/store/migrations/migrator.js';
import { appendMany, LIMITS, relayOnce } from '../../contract/contract-context.js';
import { startMariadb, type PrivateServer } from '../../support/services.js';
import { eventually } from '../../support/wait.js';

let server: PrivateServer;
let dataSource: DataSource;
let store: EventStore;

beforeAll(async () => {
  server = await startMariadb();
  const url = new URL(server.url);
  const admin = await new DataSource({ type: 'mysql', url: server.url }).initialize();
  await admin.query('CREATE DATABASE shop');
  await admin.destroy();
  url.pathname = '/shop';
  dataSource = await new DataSource({ type: 'mysql', url: url.href }).initialize();
  await eventsMigrator.up(dataSource.createQueryRunner());
  store = createStores(dataSource, { namespace: 'default', tables: DEFAULT_TABLES }).events;
  await store.prepare();
}, 60_000);
afterAll(async () => {
  await dataSource.destroy();
  await server.stop();
});

const errorOf = (work: Promise<unknown>) => work.catch((error: unknown) => error);

it('C12: a server that goes away in the middle is not the events’ fault, and all goes on after it', async () => {
  await appendMany(store, 3);
  // In a transaction, on an idle connection, and without any connection.
  const runner = dataSource.createQueryRunner();
  await runner.startTransaction();
  await runner.query('SELECT 1');
  const sleeping = errorOf(dataSource.query('SELECT SLEEP(20)'));
  await new Promise((resolve) => setTimeout(resolve, 100));
  await server.kill();
  const errors = [
    await sleeping,
    await errorOf(runner.query('SELECT 1')),
    await errorOf(runner.commitTransaction()),
    await errorOf(store.relay(LIMITS)),
    await errorOf(store.hasDue()),
    await errorOf(store.complete([{ position: 1, handler: 'a', epoch: 0 }])),
  ];
  await runner.release();
  for (const error of errors) {
    expect(error).toBeInstanceOf(Error);
    expect([error, store.isInfrastructureError(error)]).toEqual([error, true]);
  }
  // What the store's own connections report is about the database, whoever lets it through.
  expect(store.isInfrastructureError(errors.at(-1), 'handler')).toBe(true);
  await server.restart();
  // As the relay does: a pass that fails is tried again.
  const pass = () => relayOnce(store).catch(() => undefined);
  const moved = await eventually(pass, { what: 'the store works again' });
  expect(moved.events).toHaveLength(3);
}, 60_000);
