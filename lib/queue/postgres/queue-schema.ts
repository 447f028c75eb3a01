import { DEFAULT_SCHEMA, LATEST_SCHEMA_VERSION, runMigrations } from 'bullmq';
import type pg from 'pg';
import { EventsSchemaOutdatedError } from '../../errors.js';

/** The schema BullMQ keeps its tables in; with a pool it allows no other name. */
export const BULLMQ_SCHEMA = DEFAULT_SCHEMA;

/**
 * Brings BullMQ's tables up to date, or only checks them. BullMQ takes a lock of its own.
 *
 * @throws EventsSchemaOutdatedError if it may not migrate and they are missing or old
 */
export async function prepareQueueSchema(client: pg.Client, migrate: boolean): Promise<void> {
  const found = await queueSchemaVersion(client);
  if (found >= LATEST_SCHEMA_VERSION) return;
  if (!migrate) throw outdated(found);
  await runMigrations(client, BULLMQ_SCHEMA);
}

async function queueSchemaVersion(client: pg.Client): Promise<number> {
  const ledger = `"${BULLMQ_SCHEMA}".migration`;
  const present = await client.query<{ present: boolean }>(
    'SELECT to_regclass($1) IS NOT NULL AS present',
    [ledger],
  );
  if (present.rows[0]?.present !== true) return 0;
  const { rows } = await client.query<{ version: string }>(
    `SELECT coalesce(max(version), 0)::text AS version FROM ${ledger}`,
  );
  return Number(rows[0]?.version ?? 0);
}

function outdated(found: number): EventsSchemaOutdatedError {
  return new EventsSchemaOutdatedError(
    found,
    LATEST_SCHEMA_VERSION,
    found === 0
      ? "BullMQ's tables in PostgreSQL do not exist"
      : "BullMQ's tables in PostgreSQL are of an older version",
    `Add CreateEventQueue1763683200001 (import it from 'nestjs-durable-events') to the "migrations" of ` +
      `a DataSource on that database and run "typeorm migration:run", or set the module option "migrate: true".`,
  );
}
