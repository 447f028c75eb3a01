import type { Tables } from '../tables.js';

/** SQLite's whole numbers have 64 bits; these are the ones that other databases hold. */
const int = (column: string) =>
  `${column} INTEGER CHECK (${column} BETWEEN -2147483648 AND 2147483647)`;

/** The statements of schema version 1, in order. JSON is text; times are ms since 1970. */
export function createTables(tables: Tables): string[] {
  const index = (name: string) => `"${tables.prefix}${name}"`;
  return [
    `CREATE TABLE ${tables.outbox} (
      seq INTEGER PRIMARY KEY AUTOINCREMENT,${EVENT_COLUMNS},
      created_at INTEGER NOT NULL,
      scheduled_at INTEGER
    ) STRICT`,
    `CREATE INDEX ${index('outbox_due')} ON ${tables.outbox} (namespace, scheduled_at, seq)`,
    `CREATE TABLE ${tables.log} (
      position INTEGER NOT NULL,${EVENT_COLUMNS},
      relayed_at INTEGER NOT NULL,
      PRIMARY KEY (namespace, position),
      UNIQUE (event_id)
    ) STRICT, WITHOUT ROWID`,
    `CREATE INDEX ${index('log_entity')} ON ${tables.log} (namespace, entity_type, entity_id, position)`,
    `CREATE TABLE ${tables.deliveries} (
      namespace TEXT NOT NULL,
      position INTEGER NOT NULL,
      handler TEXT NOT NULL,
      status TEXT NOT NULL CHECK (status IN ('queued', 'completed', 'dead', 'discarded')),
      epoch INTEGER NOT NULL,
      chunk INTEGER,
      attempts INTEGER NOT NULL,
      max_attempts INTEGER NOT NULL,
      last_error TEXT,
      last_attempt_at INTEGER,
      queued_at INTEGER NOT NULL,
      retry_at INTEGER,
      rescue_at INTEGER,
      completed_at INTEGER,
      dead_at INTEGER,
      discarded_at INTEGER,
      discard_reason TEXT,
      PRIMARY KEY (namespace, position, handler)
    ) STRICT, WITHOUT ROWID`,
    `CREATE INDEX ${index('deliveries_queued')} ON ${tables.deliveries} (namespace, rescue_at) WHERE status = 'queued'`,
    `CREATE INDEX ${index('deliveries_waiting')} ON ${tables.deliveries} (namespace, queued_at) WHERE status = 'queued'`,
    `CREATE INDEX ${index('deliveries_dead')} ON ${tables.deliveries} (namespace, dead_at) WHERE status = 'dead'`,
    `CREATE TABLE ${tables.handlers} (
      namespace TEXT NOT NULL,
      id TEXT NOT NULL,
      events TEXT NOT NULL,
      queue TEXT NOT NULL,
      options TEXT NOT NULL,
      first_seen_at INTEGER NOT NULL,
      last_seen_at INTEGER NOT NULL,
      retired_at INTEGER,
      PRIMARY KEY (namespace, id)
    ) STRICT, WITHOUT ROWID`,
    `CREATE TABLE ${tables.relay} (
      namespace TEXT NOT NULL PRIMARY KEY,
      identity TEXT NOT NULL,
      last_position INTEGER NOT NULL,
      queue_generation TEXT,
      queue_wipes INTEGER NOT NULL DEFAULT 0,
      queue_wiped_at INTEGER
    ) STRICT`,
    `CREATE TABLE ${tables.idempotency} (
      namespace TEXT NOT NULL,
      "key" TEXT NOT NULL,
      event_id TEXT NOT NULL,
      created_at INTEGER NOT NULL,
      PRIMARY KEY (namespace, "key")
    ) STRICT, WITHOUT ROWID`,
    // Failed attempts; the number goes on over redrives.
    `CREATE TABLE ${tables.attempts} (
      namespace TEXT NOT NULL,
      position INTEGER NOT NULL,
      handler TEXT NOT NULL,
      attempt INTEGER NOT NULL,
      epoch INTEGER NOT NULL,
      error TEXT NOT NULL,
      failed_at INTEGER NOT NULL,
      PRIMARY KEY (namespace, position, handler, attempt)
    ) STRICT, WITHOUT ROWID`,
    // One row that grows: there is one writer at a time.
    `CREATE TABLE ${tables.ledger} (
      namespace TEXT NOT NULL PRIMARY KEY,
      delivered INTEGER NOT NULL DEFAULT 0,
      unhandled INTEGER NOT NULL DEFAULT 0,
      completed INTEGER NOT NULL DEFAULT 0,
      discarded INTEGER NOT NULL DEFAULT 0
    ) STRICT`,
    `CREATE TABLE ${tables.operations} (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      namespace TEXT NOT NULL,
      kind TEXT NOT NULL,
      target TEXT NOT NULL,
      reason TEXT,
      actor TEXT,
      affected INTEGER NOT NULL,
      started_at INTEGER NOT NULL,
      ended_at INTEGER
    ) STRICT`,
    `CREATE INDEX ${index('operations_latest')} ON ${tables.operations} (namespace, id)`,
  ];
}

const EVENT_COLUMNS = `
      namespace TEXT NOT NULL,
      event_id TEXT NOT NULL,
      name TEXT NOT NULL,
      ${int('version')} NOT NULL,
      category TEXT NOT NULL,
      data TEXT NOT NULL,
      metadata TEXT,
      headers TEXT,
      "key" TEXT,
      entity_type TEXT,
      entity_id TEXT,
      ${int('entity_version')},
      actor_type TEXT,
      actor_id TEXT,
      causation_id TEXT,
      correlation_id TEXT,
      occurred_at INTEGER NOT NULL`;

export function dropTables(tables: Tables): string[] {
  const { operations, ledger, attempts, idempotency, relay, handlers, deliveries, log, outbox } =
    tables;
  return [operations, ledger, attempts, idempotency, relay, handlers, deliveries, log, outbox].map(
    (table) => `DROP TABLE IF EXISTS ${table}`,
  );
}
