import { DataSource, type QueryRunner } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RegisteredHandler } from '../../../lib/store/event-store.js';
import { eventsMigrator } from '../../../lib/store/migrations/migrator.js';
import { findDeadLetters } from '../../../lib/store/mysql/dead-letter-batches.sql.js';
import { listDeadLetters } from '../../../lib/store/mysql/dead-letters.sql.js';
import * as deliveries from '../../../lib/store/mysql/deliveries.sql.js';
import * as emit from '../../../lib/store/mysql/emit.sql.js';
import * as events from '../../../lib/store/mysql/events.sql.js';
import * as relay from '../../../lib/store/mysql/relay.sql.js';
import { toParameters } from '../../../lib/store/mysql/sql-text.js';
import type { Statement } from '../../../lib/store/statement.js';
import { tableNames } from '../../../lib/store/tables.js';
import { createMariadbDatabase, type TestDatabase } from '../../support/database.js';

/** Rows in each table: so many that a server would rather use an index than read them all. */
const ROWS = 20_000;

const tables = tableNames({ prefix: 'events_', schema: undefined }, (name) => `\`${name}\``);
const refs = Array.from({ length: 500 }, (_, index) => ({
  position: index * 7 + 1,
  handler: 'mails',
  epoch: 0,
}));
const failed = refs.map((ref) => ({ ...ref, attempt: 1, error: 'x', dead: false, retryInMs: 1 }));
const mails: RegisteredHandler & { chunkSize: number } = {
  id: 'mails',
  events: ['order.placed'],
  queue: 'default',
  maxAttempts: 5,
  priority: 50,
  transactional: false,
  aliases: [],
  chunkSize: 50,
};

/** Statement → the index it must use of each of our tables. */
const HOT: Record<string, [Statement, Record<string, string>]> = {
  hasDue: [relay.hasDue(tables, 'n'), { events_outbox: 'outbox_due' }],
  lockRelay: [relay.lockRelay(tables, 'n'), { events_relay: 'PRIMARY' }],
  readDue: [relay.readDue(tables, 'n', 500), { events_outbox: 'outbox_due', box: 'PRIMARY' }],
  copyToLog: [relay.copyToLog(tables, ROWS, [1, 2, 3]), { events_outbox: 'PRIMARY' }],
  makeDeliveries: [
    relay.makeDeliveries(tables, 'n', ROWS - 500, [mails], 1_000),
    { log: 'PRIMARY' },
  ],
  deleteFromOutbox: [relay.deleteFromOutbox(tables, [1, 2, 3]), { events_outbox: 'PRIMARY' }],
  savePosition: [relay.savePosition(tables, 'n', 1), { events_relay: 'PRIMARY' }],
  readStates: [deliveries.readStates(tables, 'n', refs), { d: 'PRIMARY', log: 'PRIMARY' }],
  lockQueued: [deliveries.lockQueued(tables, 'n', refs), { d: 'PRIMARY' }],
  completeDeliveries: [deliveries.completeDeliveries(tables, 'n', refs), { d: 'PRIMARY' }],
  failDeliveries: [deliveries.failDeliveries(tables, 'n', failed, 1_000), { d: 'PRIMARY' }],
  setRescueTime: [deliveries.setRescueTime(tables, 'n', refs, 1_000), { d: 'PRIMARY' }],
  lockOverdue: [
    deliveries.lockOverdue(tables, 'n', 500),
    { events_deliveries: 'deliveries_queued' },
  ],
  postponeOverdue: [deliveries.postponeOverdue(tables, 'n', refs, 1_000), { d: 'PRIMARY' }],
  readEvents: [events.readEvents(tables, 'n', [1, 2, 3]), { log: 'PRIMARY' }],
  eventsOfEntity: [events.eventsOfEntity(tables, 'n', 'order', 'o1', 10), { log: 'log_entity' }],
  eventById: [events.eventById(tables, 'n', '5'), { log: 'log_event_id' }],
  deliveriesOf: [events.deliveriesOf(tables, 'n', [1, 2, 3]), { d: 'PRIMARY' }],
  readKeys: [emit.readKeys(tables, 'n', ['1', '2', '3']), { events_idempotency: 'PRIMARY' }],
};

/** Our tables, and their aliases but the outbox's. */
const OURS = /^(events_.*|d|log)$/;

let database: TestDatabase;
let dataSource: DataSource;
let runner: QueryRunner;

beforeAll(async () => {
  database = await createMariadbDatabase();
  dataSource = await new DataSource({ type: 'mysql', url: database.url }).initialize();
  runner = dataSource.createQueryRunner();
  await eventsMigrator.up(runner);
  const event = (number: string) =>
    `seq, 'n', ${number}, 'order.placed', 1, 'domain', '{}', 'order', concat('o', seq % 2000), UTC_TIMESTAMP()`;
  const columns = `namespace, event_id, name, version, category, data, entity_type, entity_id, occurred_at`;
  await runner.query(
    `INSERT INTO events_outbox (seq, ${columns}) SELECT ${event('seq')} FROM seq_1_to_${ROWS}`,
  );
  await runner.query(`UPDATE events_outbox SET scheduled_at = UTC_TIMESTAMP() + INTERVAL seq SECOND
    WHERE seq % 2 = 0`);
  await runner.query(
    `INSERT INTO events_log (position, ${columns}, relayed_at)
      SELECT ${event('seq')}, UTC_TIMESTAMP() FROM seq_1_to_${ROWS}`,
  );
  await runner.query(
    `INSERT INTO events_deliveries (namespace, position, handler, status, epoch, attempts,
        max_attempts, queued_at, rescue_at)
      SELECT 'n', seq, 'mails', IF(seq % 10 = 0, 'queued', 'completed'), 0, 0, 5, UTC_TIMESTAMP(),
        IF(seq % 10 = 0, UTC_TIMESTAMP() + INTERVAL (10000 - CAST(seq AS SIGNED)) SECOND, NULL)
      FROM seq_1_to_${ROWS}`,
  );
  await runner.query(
    `INSERT INTO events_idempotency (namespace, \`key\`, event_id, created_at)
      SELECT 'n', seq, seq, UTC_TIMESTAMP() FROM seq_1_to_${ROWS}`,
  );
  await runner.query(`INSERT INTO events_relay (namespace, identity, last_position)
    SELECT concat('n', seq), 'i', 1 FROM seq_1_to_100`);
  await runner.query(
    `INSERT INTO events_relay (namespace, identity, last_position) VALUES ('n', 'i', 1)`,
  );
  await runner.query(
    'ANALYZE TABLE events_outbox, events_log, events_deliveries, events_idempotency, events_relay',
  );
});
afterAll(async () => {
  await runner.release();
  await dataSource.destroy();
  await database.drop();
});

interface Step {
  readonly table: string | null;
  readonly type: string | null;
  readonly key: string | null;
  readonly Extra: string | null;
}

/** Settings for the one statement come before it, in a comment that only MariaDB reads. */
function explained(text: string): string {
  const [settings = ''] = /^\/\*.*?\*\/ ?/s.exec(text) ?? [];
  return `${settings}EXPLAIN ${text.slice(settings.length)}`;
}

describe('hot statements read no table whole', () => {
  it.each(Object.entries(HOT))('%s', async (_name, [{ text, values }, expected]) => {
    const plan = (await runner.query(explained(text), toParameters(values))) as Step[];
    const used = Object.fromEntries(
      Object.keys(expected).map((table) => [
        table,
        plan.filter((step) => step.table === table).at(-1)?.key,
      ]),
    );
    expect({ used, plan }).toMatchObject({ used: expected });
    // The outbox is small, and looked through for one entity or id.
    const whole = plan.filter(({ table, type }) => type === 'ALL' && OURS.test(table ?? ''));
    expect(whole).toEqual([]);
  });
});

it.each(
  Object.entries({
    listDeadLetters: listDeadLetters(tables, 'n', {}, 50),
    'listDeadLetters of an event': listDeadLetters(tables, 'n', { event: 'order.placed' }, 50),
    'findDeadLetters to discard': findDeadLetters(tables, 'n', 1, {}, undefined, { limit: 50 }),
    'findDeadLetters to redrive': findDeadLetters(tables, 'n', 1, {}, ['mails'], { limit: 50 }),
  }),
)('%s reads nothing that is done, where fewer are dead than it takes', async (_name, statement) => {
  await runner.query(`UPDATE events_deliveries SET status = 'dead', dead_at = UTC_TIMESTAMP(6)
    WHERE position <= 3`);
  await runner.query(`INSERT IGNORE INTO events_operations (id, namespace, kind, target, affected, started_at)
    VALUES (1, 'n', 'redrive', '{}', 0, UTC_TIMESTAMP(6) + INTERVAL 1 HOUR)`);
  const before = await rowsRead();
  expect(await runner.query(statement.text, toParameters(statement.values))).toHaveLength(3);
  expect((await rowsRead()) - before).toBeLessThan(200);
});

/** By this session, through indexes and without. */
async function rowsRead(): Promise<number> {
  const rows = (await runner.query(`SHOW SESSION STATUS LIKE 'Handler_read_%'`)) as {
    Value: string;
  }[];
  return rows.reduce((sum, { Value }) => sum + Number(Value), 0);
}
