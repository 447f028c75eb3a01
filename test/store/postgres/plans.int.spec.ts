import type { DataSource, QueryRunner } from 'typeorm';
import { afterAll, beforeAll, expect, it } from 'vitest';
import * as deliveries from '../../../lib/store/postgres/deliveries.sql.js';
import * as events from '../../../lib/store/postgres/events.sql.js';
import * as relay from '../../../lib/store/postgres/relay.sql.js';
import { withLiterals } from '../../../lib/store/postgres/script.js';
import { DEFAULT_TABLES } from '../../../lib/store/migrations/migrator.js';
import { migrateAtBoot } from '../../../lib/store/migrations/boot-migration.js';
import type { Statement } from '../../../lib/store/statement.js';
import { tableNames } from '../../../lib/store/tables.js';
import { handler } from '../../contract/contract-context.js';
import { openDataSource } from '../../support/data-source.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

const ROWS = 20_000;
const ASKED = 50;

let database: TestDatabase;
let dataSource: DataSource;
/** Keeps the plan of a relay pass that was made while the tables were empty. */
let relaying: QueryRunner;

beforeAll(async () => {
  database = await createTestDatabase();
  dataSource = await openDataSource(database.url);
  await migrateAtBoot(dataSource, DEFAULT_TABLES, true);
  // As in the first minute of a backlog: nobody has counted anything yet.
  for (const table of ['events_log', 'events_deliveries', 'events_outbox']) {
    await dataSource.query(`ALTER TABLE ${table} SET (autovacuum_enabled = off)`);
  }
  await dataSource.query(
    `INSERT INTO events_relay (namespace, identity, last_position) VALUES ('n', 'i', ${ROWS})`,
  );
  relaying = dataSource.createQueryRunner();
  await relaying.query(`PREPARE move AS ${MOVE.text}`);
  await relaying.startTransaction();
  await begin(relaying);
  await relaying.query(EXECUTE_MOVE);
  await relaying.commitTransaction();
  await dataSource.query(
    `INSERT INTO events_log (position, namespace, event_id, name, version, category, data,
       occurred_at, relayed_at)
     SELECT n, 'n', gen_random_uuid(), 'happened', 1, 'domain', '{}', now(), now()
     FROM generate_series(1, $1::integer) AS n`,
    [ROWS],
  );
  await dataSource.query(
    `INSERT INTO events_deliveries (namespace, position, handler, status, epoch, attempts,
       max_attempts, queued_at, rescue_at)
     SELECT 'n', n, 'noted', 'queued', 0, 0, 5, now(),
       now() + CASE WHEN n <= ${ASKED} THEN interval '-1 s' ELSE interval '1 h' END
     FROM generate_series(1, $1::integer) AS n`,
    [ROWS],
  );
  await dataSource.query(
    `INSERT INTO events_outbox (namespace, event_id, name, version, category, data, occurred_at,
       scheduled_at)
     SELECT 'n', gen_random_uuid(), 'happened', 1, 'domain', '{}', now(), now() + interval '1 h'
     FROM generate_series(1, $1::integer) AS n`,
    [ROWS],
  );
});
afterAll(async () => {
  await relaying.release();
  await dataSource.destroy();
  await database.drop();
});

const tables = tableNames(DEFAULT_TABLES, (name) => `"${name}"`);
const refs = Array.from({ length: ASKED }, (_, index) => ({
  position: index * 7 + 1,
  handler: 'noted',
  epoch: 0,
  chunk: 1,
}));
const failed = refs.map((ref) => ({ ...ref, attempt: 1, error: 'x', dead: false, retryInMs: 1 }));
const limits = { batchSize: ASKED, rescueAfterMs: 1_000 };

const MOVE = relay.moveBatch(tables, 'n', 0, [handler('noted', { events: ['happened'] })], limits);

const EXECUTE_MOVE = withLiterals({
  text: `EXECUTE move(${MOVE.values.map((_value, index) => `$${index + 1}`).join()})`,
  values: MOVE.values,
});

/** What a pass does before its move. */
async function begin(runner: QueryRunner): Promise<void> {
  for (const { text } of relay.PASS_SETTINGS) await runner.query(text);
  const { text, values } = relay.lockRelay(tables, 'n');
  expect(await runner.query(text, values)).toMatchObject([{ move_after: String(ROWS) }]);
}

/** Due events of a namespace. */
const fillOutbox = (through: QueryRunner, namespace: string, count: number) =>
  through.query(
    `INSERT INTO events_outbox (namespace, event_id, name, version, category, data, occurred_at)
     SELECT $1, gen_random_uuid(), 'happened', 1, 'domain', '{}', now()
     FROM generate_series(1, $2::integer)`,
    [namespace, count],
  );

it.each<[string, () => Promise<unknown>]>([
  ['empty tables', async () => undefined],
  [
    'the events of another namespace',
    async () => {
      await fillOutbox(relaying, 'other', ROWS);
      // Plans are made anew after it.
      await relaying.query('ANALYZE events_outbox');
    },
  ],
])('a relay pass planned for %s looks at hardly more than it moves', async (_what, prepare) => {
  await relaying.startTransaction();
  try {
    await prepare();
    await begin(relaying);
    await fillOutbox(relaying, 'n', ROWS);
    const explained = `EXPLAIN (ANALYZE, FORMAT JSON) ${EXECUTE_MOVE}`;
    expect(tooWide(await relaying.query(explained))).toEqual([]);
    const [{ moved }] = (await relaying.query(
      `SELECT count(*)::integer AS moved FROM events_log WHERE position > ${ROWS}`,
    )) as [{ moved: number }];
    expect(moved).toBe(ASKED);
  } finally {
    await relaying.rollbackTransaction();
  }
});

it.each<[string, Statement]>([
  ['hasDue', relay.hasDue(tables, 'n')],
  ['readStates', deliveries.readStates(tables, 'n', refs)],
  ['completeDeliveries', deliveries.completeDeliveries(tables, 'n', refs)],
  ['completeDeliveries NOWAIT', deliveries.completeDeliveries(tables, 'n', refs, true)],
  ['failDeliveries', deliveries.failDeliveries(tables, 'n', failed, 1_000)],
  ['setRescueTime', deliveries.setRescueTime(tables, 'n', refs, 1_000)],
  ['setChunks', deliveries.setChunks(tables, 'n', refs)],
  ['takeOverdue', relay.takeOverdue(tables, 'n', limits)],
  [
    'readEvents',
    events.readEvents(
      tables,
      'n',
      refs.map(({ position }) => position),
    ),
  ],
])(
  '%s of 50 looks at hardly more than those, whatever else is queued',
  async (_name, statement) => {
    const runner = dataSource.createQueryRunner();
    await runner.startTransaction();
    try {
      const explained = `EXPLAIN (ANALYZE, FORMAT JSON) ${statement.text}`;
      expect(tooWide(await runner.query(explained, statement.values))).toEqual([]);
    } finally {
      await runner.rollbackTransaction();
      await runner.release();
    }
  },
);

/** Scans of the library's tables that look at far more rows than were asked for. */
function tooWide(rows: [{ 'QUERY PLAN': [{ Plan: PlanNode }] }]): PlanNode[] {
  const [{ Plan: plan }] = rows[0]['QUERY PLAN'];
  const scans = nodesOf(plan).filter((node) =>
    /events_/.test(node['Relation Name'] ?? node['Index Name'] ?? ''),
  );
  expect(scans.length).toBeGreaterThan(0);
  return scans.filter(
    (node) =>
      (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops'] >
      // Rows that an earlier case has changed and given back are there several times.
      10 * ASKED,
  );
}

interface PlanNode {
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly Plans?: readonly PlanNode[];
}

function nodesOf(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(nodesOf)];
}
