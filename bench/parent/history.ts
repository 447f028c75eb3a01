import pg from 'pg';
import { EVENT_NAME, makeData } from '../event.js';

/** Rows of one INSERT. */
const CHUNK = 250_000;
const DATA = `jsonb_set($1::jsonb, '{n}', to_jsonb(n))`;
const NO_WHERE_NEAR = `now() + interval '30 days'`;
/** In the order of time, as the library's own ids are: an index grows at its end. */
const EVENT_ID = `(lpad(to_hex(1700000000000 + n), 12, '0') || '7' || substr(md5(n::text), 1, 19))::uuid`;

/** Rows that a database of the library's has from earlier. Its tables and its handler must be there. */
export interface History {
  /** Events in the log, with a completed delivery each. */
  readonly logged?: number;
  /** Events that are due in a month. */
  readonly scheduled?: number;
  /** Events that wait for the relay, numbered from 0. */
  readonly waiting?: number;
}

/** Writes the history with plain SQL, and leaves the tables as vacuumed as they would be. */
export async function writeHistory(databaseUrl: string, history: History): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  const each = async (count: number, sql: string, values: unknown[]) => {
    for (let from = 0; from < count; from += CHUNK) {
      const to = Math.min(from + CHUNK, count);
      await client.query(
        sql.replace('$series', `generate_series(${from}, ${to - 1}) AS n`),
        values,
      );
    }
  };
  const data = JSON.stringify(makeData(0));
  try {
    const { logged = 0, scheduled = 0, waiting = 0 } = history;
    await each(scheduled, intoOutbox(NO_WHERE_NEAR), [data, EVENT_NAME]);
    await each(waiting, intoOutbox('NULL'), [data, EVENT_NAME]);
    await each(logged, INTO_LOG, [data, EVENT_NAME]);
    await each(logged, INTO_DELIVERIES, []);
    await client.query(`UPDATE events_relay SET last_position = last_position + ${logged}`);
    await client.query(
      `INSERT INTO events_ledger (namespace, delivered, completed) VALUES ('default', $1, $1)`,
      [logged],
    );
    await client.query('VACUUM ANALYZE');
    // Its work must not fall into what is measured.
    await client.query('CHECKPOINT');
  } finally {
    await client.end();
  }
}

function intoOutbox(scheduledAt: string): string {
  return `INSERT INTO events_outbox
      (namespace, event_id, name, version, category, data, occurred_at, scheduled_at)
    SELECT 'default', ${EVENT_ID}, $2, 1, 'domain', ${DATA}, now(), ${scheduledAt} FROM $series`;
}

const INTO_LOG = `INSERT INTO events_log
    (namespace, position, event_id, name, version, category, data, occurred_at, relayed_at)
  SELECT 'default', last_position + 1 + n, ${EVENT_ID}, $2, 1, 'domain', ${DATA}, now(), now()
  FROM $series, events_relay`;

const INTO_DELIVERIES = `INSERT INTO events_deliveries
    (namespace, position, handler, status, epoch, attempts, max_attempts, queued_at, completed_at)
  SELECT 'default', last_position + 1 + n, 'bench.one', 'completed', 1, 1, 5, now(), now()
  FROM $series, events_relay`;
