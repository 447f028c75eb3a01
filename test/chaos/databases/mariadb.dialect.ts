import { POOL_IDLE_MS, type Dialect } from './dialect.js';

const BUSINESS_TABLES = [
  `CREATE TABLE orders (
    id varchar(200) PRIMARY KEY,
    shape varchar(20) NOT NULL,
    events int NOT NULL,
    checksums text NOT NULL,
    created_at datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
  )`,
  `CREATE TABLE effects (
    id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
    handler varchar(50) NOT NULL,
    event_id varchar(36) NOT NULL,
    order_id varchar(200) NOT NULL,
    n int NOT NULL,
    checksum varchar(20) NOT NULL,
    intact boolean NOT NULL,
    idempotency_key varchar(36) NOT NULL,
    attempt int NOT NULL,
    child varchar(50) NOT NULL,
    at datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
  )`,
];

const NOTE = 'INSERT INTO chaos_breaches (what) VALUES';
const DELIVERY = `OLD.position, '/', OLD.handler`;
const WATCH = [
  `CREATE TABLE chaos_breaches (
    id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
    what text NOT NULL,
    at datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
  )`,
  `CREATE TRIGGER chaos_watch_changed AFTER UPDATE ON events_deliveries FOR EACH ROW
  BEGIN
    IF OLD.status = 'dead' AND NEW.attempts = OLD.attempts
        AND ((NEW.status = 'queued' AND NEW.epoch = OLD.epoch + 1)
          OR (NEW.status = 'discarded' AND NEW.epoch = OLD.epoch)) THEN
      BEGIN END; -- An operator redrives or discards a dead letter.
    ELSEIF OLD.status <> 'queued'
        AND (NEW.status, NEW.epoch, NEW.attempts) <> (OLD.status, OLD.epoch, OLD.attempts) THEN
      ${NOTE} (CONCAT('delivery ', ${DELIVERY}, ' was ', OLD.status, ' (epoch ', OLD.epoch,
        ', attempts ', OLD.attempts, ') and became ', NEW.status, ' (epoch ', NEW.epoch,
        ', attempts ', NEW.attempts, ')'));
    ELSEIF NEW.attempts < OLD.attempts OR NEW.epoch <> OLD.epoch THEN
      ${NOTE} (CONCAT('delivery ', ${DELIVERY}, ' went from attempts ', OLD.attempts, ', epoch ',
        OLD.epoch, ' to attempts ', NEW.attempts, ', epoch ', NEW.epoch));
    END IF;
  END`,
  `CREATE TRIGGER chaos_watch_deleted AFTER DELETE ON events_deliveries FOR EACH ROW
    ${NOTE} (CONCAT('delivery ', ${DELIVERY}, ' (', OLD.status, ') was deleted'))`,
  ...['UPDATE', 'DELETE'].map(
    (change) => `CREATE TRIGGER chaos_watch_log_${change} AFTER ${change} ON events_log
      FOR EACH ROW ${NOTE} (CONCAT('log row ', OLD.position, ': ${change}'))`,
  ),
];

export const MARIADB: Dialect = {
  businessTables: BUSINESS_TABLES,
  watch: WATCH,
  insertOrder: `INSERT INTO orders (id, shape, events, checksums) VALUES (?, ?, ?, ?)
    ON DUPLICATE KEY UPDATE id = id`,
  insertEffect: `INSERT INTO effects (handler, event_id, order_id, n, checksum, intact,
    idempotency_key, attempt, child) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  jsonField: (column, field) => `JSON_VALUE(${column}, '$.${field}')`,
  beginSnapshot: [
    'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ',
    'START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY',
  ],
  // A packet of 7 bytes, the first of its command: COM_QUERY.
  commitMessage: Buffer.from('\x07\0\0\0\x03COMMIT', 'latin1'),
  dataSource: (url) => ({
    type: 'mariadb',
    url,
    connectTimeout: 3_000,
    // mysql2 closes only what is idle beyond `maxIdle`.
    extra: { idleTimeout: POOL_IDLE_MS, maxIdle: 1 },
  }),
};
