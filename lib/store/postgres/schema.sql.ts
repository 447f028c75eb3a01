import type { Tables } from '../tables.js';

/** The statements of schema version 1, in order. */
export function createTables(tables: Tables): string[] {
  const index = (name: string) => `"${tables.prefix}${name}"`;
  const eventColumns = `
      event_id uuid NOT NULL,
      name text NOT NULL,
      version integer NOT NULL,
      category text NOT NULL,
      data jsonb NOT NULL,
      metadata jsonb,
      headers jsonb,
      key text,
      entity_type text,
      entity_id text,
      entity_version integer,
      actor_type text,
      actor_id text,
      causation_id text,
      correlation_id text,
      occurred_at timestamptz NOT NULL`;
  return [
    // Small and hot: vacuum it early, rows only come and go. An emit's namespace is to be evaluated
    // before `seq`, so it comes before it.
    `CREATE TABLE ${tables.outbox} (
      namespace text NOT NULL,
      seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,${eventColumns},
      created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      scheduled_at timestamptz
    ) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000)`,
    `CREATE INDEX ${index('outbox_due')} ON ${tables.outbox} (namespace, seq) WHERE scheduled_at IS NULL`,
    `CREATE INDEX ${index('outbox_scheduled')} ON ${tables.outbox} (namespace, scheduled_at) WHERE scheduled_at IS NOT NULL`,
    `CREATE TABLE ${tables.log} (
      position bigint NOT NULL,
      namespace text NOT NULL,${eventColumns},
      relayed_at timestamptz NOT NULL,
      PRIMARY KEY (namespace, position),
      CONSTRAINT ${index('log_event_id')} UNIQUE (event_id)
    )`,
    `CREATE INDEX ${index('log_entity')} ON ${tables.log} (namespace, entity_type, entity_id, position) WHERE entity_id IS NOT NULL`,
    // Rows change a few times: room in each page keeps updates off the indexes (HOT). The key begins with
    // the position: by the namespace alone, which looks selective to a planner without statistics, it
    // would walk through all that was ever delivered.
    `CREATE TABLE ${tables.deliveries} (
      namespace text NOT NULL,
      position bigint NOT NULL,
      handler text NOT NULL,
      status text NOT NULL CHECK (status IN ('queued', 'completed', 'dead', 'discarded')),
      epoch integer NOT NULL,
      chunk bigint,
      attempts integer NOT NULL,
      max_attempts integer NOT NULL,
      last_error text,
      last_attempt_at timestamptz,
      queued_at timestamptz NOT NULL,
      retry_at timestamptz,
      rescue_at timestamptz,
      completed_at timestamptz,
      dead_at timestamptz,
      discarded_at timestamptz,
      discard_reason text,
      PRIMARY KEY (position, handler, namespace)
    ) WITH (fillfactor = 80)`,
    // What is queued, in other words than the next one's: a planner that knows nothing takes either.
    `CREATE INDEX ${index('deliveries_queued')} ON ${tables.deliveries} (namespace, rescue_at) WHERE rescue_at IS NOT NULL`,
    // For the age of the oldest and in the order of age: `rescue_at` moves. 2 µs per delivery made.
    `CREATE INDEX ${index('deliveries_waiting')} ON ${tables.deliveries} (namespace, queued_at) WHERE status = 'queued'`,
    `CREATE INDEX ${index('deliveries_dead')} ON ${tables.deliveries} (namespace, dead_at) WHERE status = 'dead'`,
    `CREATE TABLE ${tables.handlers} (
      namespace text NOT NULL,
      id text NOT NULL,
      events jsonb NOT NULL,
      queue text NOT NULL,
      options jsonb NOT NULL,
      first_seen_at timestamptz NOT NULL,
      last_seen_at timestamptz NOT NULL,
      retired_at timestamptz,
      PRIMARY KEY (namespace, id)
    )`,
    `CREATE TABLE ${tables.relay} (
      namespace text PRIMARY KEY,
      identity text NOT NULL,
      last_position bigint NOT NULL,
      queue_generation text,
      queue_wipes integer NOT NULL DEFAULT 0,
      queue_wiped_at timestamptz
    )`,
    `CREATE TABLE ${tables.idempotency} (
      namespace text NOT NULL,
      key text NOT NULL,
      event_id uuid NOT NULL,
      created_at timestamptz NOT NULL,
      PRIMARY KEY (namespace, key)
    )`,
    // Failed attempts; the number goes on over redrives.
    `CREATE TABLE ${tables.attempts} (
      namespace text NOT NULL,
      position bigint NOT NULL,
      handler text NOT NULL,
      attempt integer NOT NULL,
      epoch integer NOT NULL,
      error text NOT NULL,
      failed_at timestamptz NOT NULL,
      PRIMARY KEY (namespace, position, handler, attempt)
    )`,
    // Increments, added up now and then: one row that all writers update would be a queue for them.
    `CREATE TABLE ${tables.ledger} (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      namespace text NOT NULL,
      delivered bigint NOT NULL DEFAULT 0,
      unhandled bigint NOT NULL DEFAULT 0,
      completed bigint NOT NULL DEFAULT 0,
      discarded bigint NOT NULL DEFAULT 0
    ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)`,
    `CREATE TABLE ${tables.operations} (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      namespace text NOT NULL,
      kind text NOT NULL,
      target jsonb NOT NULL,
      reason text,
      actor text,
      affected bigint NOT NULL,
      started_at timestamptz NOT NULL,
      ended_at timestamptz
    )`,
    `CREATE INDEX ${index('operations_latest')} ON ${tables.operations} (namespace, id)`,
  ];
}

export function dropTables(tables: Tables): string[] {
  const { operations, ledger, attempts, idempotency, relay, handlers, deliveries, log, outbox } =
    tables;
  return [operations, ledger, attempts, idempotency, relay, handlers, deliveries, log, outbox].map(
    (table) => `DROP TABLE IF EXISTS ${table}`,
  );
}
