import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { PostgresBackend } from '../../lib/queue/postgres/postgres-backend.js';
import { workerSettings } from '../../lib/queue/bull-worker-settings.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { eventually } from '../support/wait.js';

let database: TestDatabase;
let admin: pg.Client;
beforeAll(async () => {
  database = await createTestDatabase();
  admin = new pg.Client({ connectionString: database.url });
  await admin.connect();
});
afterAll(async () => {
  await admin.end();
  await database.drop();
});

const SETTINGS = workerSettings({
  queue: 'default',
  concurrency: 5,
  limiter: undefined,
  lockDurationMs: 30_000,
  pollIntervalMs: 200,
});

/** Its close waits for no connection that it still takes, and gives none back. */
function createWorker(backend: PostgresBackend, name = randomUUID()) {
  const { worker } = backend.createWorker(name, async () => undefined, SETTINGS);
  worker.on('error', () => undefined);
  return worker;
}

/** Names of the other sessions in the database. */
async function sessions(): Promise<string[]> {
  const { rows } = await admin.query<{ name: string }>(
    `SELECT application_name AS name FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid()`,
  );
  return rows.map(({ name }) => name);
}

it('E8: drops the connection that a worker takes although it is closed already', async () => {
  const backend = new PostgresBackend(database.url, { workers: 1, migrate: true });
  await backend.connect();
  const name = randomUUID();
  await createWorker(backend, name).close();
  const named = async () => (await sessions()).some((session) => session.startsWith(name));
  await eventually(named, { what: 'the closed worker listens' });
  await backend.disconnect();
  await expect.poll(sessions, { timeout: 10_000 }).toEqual([]);
});

it('E8: drops a connection that it is being asked for', async () => {
  const backend = new PostgresBackend(database.url, { workers: 1, migrate: true });
  await backend.connect();
  await Promise.all([createWorker(backend).close(), backend.disconnect()]);
  await expect.poll(sessions, { timeout: 10_000 }).toEqual([]);
});
