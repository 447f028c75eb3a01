import type { Tables } from '../tables.js';

/** Tells our tables from others that have the same name. */
export const TABLE_COMMENT = 'nestjs-durable-events';

/** Names that an allow-list of characters makes ASCII: small in an index, compared byte by byte. */
const ascii = (length: number) => `varchar(${length}) CHARACTER SET ascii COLLATE ascii_bin`;
const NAMESPACE = `${ascii(50)} NOT NULL`;
const NAME = `${ascii(200)} NOT NULL`;
const TIME = 'datetime(6)';

/**
 * The statements of schema version 1, in order. Each may be run again: a change of tables can't be
 * undone here, so an interrupted migration goes on where it stopped.
 *
 * JSON is stored as text, so that it comes back as it was; times are UTC, without a zone.
 *
 * @param collation of free texts: by bytes, trailing spaces included
 */
export function createTables(tables: Tables, collation: string): string[] {
  // DYNAMIC, whatever the server's default is: index entries up to 3,072 bytes, the longest here
  // having 2,906 (50 + 4 × 200 + 4 × 512 + 8).
  const options = `ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE ${collation}
    COMMENT='${TABLE_COMMENT}'`;
  const create = (table: string, columns: string) =>
    `CREATE TABLE IF NOT EXISTS ${table} (${columns}) ${options}`;
  return [
    create(
      tables.outbox,
      `seq bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,${EVENT_COLUMNS},
      created_at ${TIME} NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
      scheduled_at ${TIME} NULL,
      KEY outbox_due (namespace, scheduled_at, seq)`,
    ),
    create(
      tables.log,
      `position bigint NOT NULL,${EVENT_COLUMNS},
      relayed_at ${TIME} NOT NULL,
      PRIMARY KEY (namespace, position),
      UNIQUE KEY log_event_id (event_id),
      KEY log_entity (namespace, entity_type, entity_id, position)`,
    ),
    create(tables.deliveries, DELIVERY_COLUMNS),
    create(
      tables.handlers,
      `namespace ${NAMESPACE},
      id ${NAME},
      events longtext NOT NULL,
      queue ${NAME},
      options longtext NOT NULL,
      first_seen_at ${TIME} NOT NULL,
      last_seen_at ${TIME} NOT NULL,
      retired_at ${TIME} NULL,
      PRIMARY KEY (namespace, id)`,
    ),
    create(
      tables.relay,
      `namespace ${NAMESPACE} PRIMARY KEY,
      identity ${ascii(50)} NOT NULL,
      last_position bigint NOT NULL,
      queue_generation ${ascii(100)} NULL,
      queue_wipes int NOT NULL DEFAULT 0,
      queue_wiped_at ${TIME} NULL`,
    ),
    create(
      tables.idempotency,
      `namespace ${NAMESPACE},
      \`key\` varchar(512) NOT NULL,
      event_id ${ascii(36)} NOT NULL,
      created_at ${TIME} NOT NULL,
      PRIMARY KEY (namespace, \`key\`)`,
    ),
    // Failed attempts; the number goes on over redrives.
    create(
      tables.attempts,
      `namespace ${NAMESPACE},
      position bigint NOT NULL,
      handler ${NAME},
      attempt int NOT NULL,
      epoch int NOT NULL,
      error mediumtext NOT NULL,
      failed_at ${TIME} NOT NULL,
      PRIMARY KEY (namespace, position, handler, attempt)`,
    ),
    // Increments, added up now and then: one row that all writers update would be a queue for them.
    create(
      tables.ledger,
      `id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
      namespace ${NAMESPACE},
      delivered bigint NOT NULL DEFAULT 0,
      unhandled bigint NOT NULL DEFAULT 0,
      completed bigint NOT NULL DEFAULT 0,
      discarded bigint NOT NULL DEFAULT 0,
      KEY ledger_namespace (namespace)`,
    ),
    create(
      tables.operations,
      `id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
      namespace ${NAMESPACE},
      kind ${ascii(50)} NOT NULL,
      target longtext NOT NULL,
      reason text NULL,
      actor text NULL,
      affected bigint NOT NULL,
      started_at ${TIME} NOT NULL,
      ended_at ${TIME} NULL,
      KEY operations_latest (namespace, id)`,
    ),
  ];
}

const EVENT_COLUMNS = `
      namespace ${NAMESPACE},
      event_id ${ascii(36)} NOT NULL,
      name ${NAME},
      version int NOT NULL,
      category ${ascii(20)} NOT NULL,
      data longtext NOT NULL,
      metadata longtext NULL,
      headers longtext NULL,
      \`key\` varchar(512) NULL,
      entity_type varchar(200) NULL,
      entity_id varchar(512) NULL,
      entity_version int NULL,
      actor_type varchar(512) NULL,
      actor_id varchar(512) NULL,
      causation_id varchar(512) NULL,
      correlation_id varchar(512) NULL,
      occurred_at ${TIME} NOT NULL`;

/**
 * There are no partial indexes here. Only what is queued has a `rescue_at` and a `queued_since`, and
 * only what is dead a `dead_since`, so an index on each has all other rows in one run of NULLs, and
 * is enough to count what waits. A row keeps `queued_at` and `dead_at` when it is done.
 */
const DELIVERY_COLUMNS = `namespace ${NAMESPACE},
      position bigint NOT NULL,
      handler ${NAME},
      status ${ascii(20)} NOT NULL CHECK (status IN ('queued', 'completed', 'dead', 'discarded')),
      epoch int NOT NULL,
      chunk bigint,
      attempts int NOT NULL,
      max_attempts int NOT NULL,
      last_error mediumtext NULL,
      last_attempt_at ${TIME} NULL,
      queued_at ${TIME} NOT NULL,
      retry_at ${TIME} NULL,
      rescue_at ${TIME} NULL,
      completed_at ${TIME} NULL,
      dead_at ${TIME} NULL,
      discarded_at ${TIME} NULL,
      discard_reason text NULL,
      queued_since ${TIME} AS (IF(status = 'queued', queued_at, NULL)) STORED,
      dead_since ${TIME} AS (IF(status = 'dead', dead_at, NULL)) STORED,
      PRIMARY KEY (namespace, position, handler),
      KEY deliveries_queued (namespace, rescue_at),
      KEY deliveries_waiting (namespace, queued_since),
      KEY deliveries_dead (namespace, dead_since)`;

export function dropTables(tables: Tables): string[] {
  return ownTables(tables).map((table) => `DROP TABLE IF EXISTS ${table}`);
}

/** All but the table of applied versions. */
export function ownTables(tables: Tables): string[] {
  const { operations, ledger, attempts, idempotency, relay, handlers, deliveries, log, outbox } =
    tables;
  return [operations, ledger, attempts, idempotency, relay, handlers, deliveries, log, outbox];
}
