import { POOL_IDLE_MS, type Dialect } from './dialect.js';

const BUSINESS_TABLES = [
  `CREATE TABLE orders (
    id text PRIMARY KEY,
    shape text NOT NULL,
    events integer NOT NULL,
    checksums text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
  )`,
  `CREATE TABLE effects (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    handler text NOT NULL,
    event_id uuid NOT NULL,
    order_id text NOT NULL,
    n integer NOT NULL,
    checksum text NOT NULL,
    intact boolean NOT NULL,
    idempotency_key text NOT NULL,
    attempt integer NOT NULL,
    child text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
  )`,
];

const WATCH = [
  `CREATE TABLE chaos_breaches (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    what text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
  )`,
  `CREATE FUNCTION chaos_watch_delivery() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
  BEGIN
    IF TG_OP = 'DELETE' THEN
      INSERT INTO public.chaos_breaches (what) VALUES (format(
        'delivery %s/%s (%s) was deleted', OLD.position, OLD.handler, OLD.status));
    ELSIF OLD.status = 'dead' AND NEW.attempts = OLD.attempts
        AND ((NEW.status = 'queued' AND NEW.epoch = OLD.epoch + 1)
          OR (NEW.status = 'discarded' AND NEW.epoch = OLD.epoch)) THEN
      NULL; -- An operator redrives or discards a dead letter.
    ELSIF OLD.status <> 'queued' AND (NEW.status, NEW.epoch, NEW.attempts)
        IS DISTINCT FROM (OLD.status, OLD.epoch, OLD.attempts) THEN
      INSERT INTO public.chaos_breaches (what) VALUES (format(
        'delivery %s/%s was %s (epoch %s, attempts %s) and became %s (epoch %s, attempts %s)',
        OLD.position, OLD.handler, OLD.status, OLD.epoch, OLD.attempts,
        NEW.status, NEW.epoch, NEW.attempts));
    ELSIF NEW.attempts < OLD.attempts OR NEW.epoch <> OLD.epoch THEN
      INSERT INTO public.chaos_breaches (what) VALUES (format(
        'delivery %s/%s went from attempts %s, epoch %s to attempts %s, epoch %s',
        OLD.position, OLD.handler, OLD.attempts, OLD.epoch, NEW.attempts, NEW.epoch));
    END IF;
    RETURN NULL;
  END $$`,
  `CREATE TRIGGER chaos_watch AFTER UPDATE OR DELETE ON events_deliveries
    FOR EACH ROW EXECUTE FUNCTION chaos_watch_delivery()`,
  `CREATE FUNCTION chaos_watch_log() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
  BEGIN
    INSERT INTO public.chaos_breaches (what) VALUES (format('log row %s: %s', OLD.position, TG_OP));
    RETURN NULL;
  END $$`,
  `CREATE TRIGGER chaos_watch AFTER UPDATE OR DELETE ON events_log
    FOR EACH ROW EXECUTE FUNCTION chaos_watch_log()`,
];

export const POSTGRES: Dialect = {
  businessTables: BUSINESS_TABLES,
  watch: WATCH,
  insertOrder: `INSERT INTO orders (id, shape, events, checksums) VALUES ($1, $2, $3, $4)
    ON CONFLICT (id) DO NOTHING`,
  insertEffect: `INSERT INTO effects (handler, event_id, order_id, n, checksum, intact,
    idempotency_key, attempt, child) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
  jsonField: (column, field) => `${column}->>'${field}'`,
  beginSnapshot: ['BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY'],
  // The end of a simple query message, of this alone or of a whole relay pass.
  commitMessage: Buffer.from('COMMIT\0', 'latin1'),
  dataSource: (url, child) => ({
    type: 'postgres',
    url,
    applicationName: `chaos ${child}`,
    connectTimeoutMS: 3_000,
    extra: { idleTimeoutMillis: POOL_IDLE_MS },
  }),
};
