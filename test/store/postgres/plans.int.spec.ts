import type { DataSource } from 'typeorm';
import { afterAll, beforeAll, expect, it } from 'vitest';
import * as deliveries from '../../../lib/store/postgres/deliveries.sql.js';
import * as events from '../../../lib/store/postgres/events.sql.js';
import * as relay from '../../../lib/store/postgres/relay.sql.js';
import { DEFAULT_TABLES } from '../../../lib/store/migrations/migrator.js';
import { migrateAtBoot } from '../../../lib/store/migrations/boot-migration.js';
import type { Statement } from '../../../lib/store/statement.js';
import { tableNames } from '../../../lib/store/tables.js';
import { openDataSource } from '../../support/data-source.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

const ROWS = 20_000;
const ASKED = 50;

let database: TestDatabase;
let dataSource: DataSource;

beforeAll(async () => {
  database = await createTestDatabase();
  dataSource = await openDataSource(database.url);
  await migrateAtBoot(dataSource, DEFAULT_TABLES, true);
  // As in the first minute of a backlog: nobody has counted anything yet.
  for (const table of ['events_log', 'events_deliveries', 'events_outbox']) {
    await dataSource.query(`ALTER TABLE ${table} SET (autovacuum_enabled = off)`);
  }
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
      const [row] = (await runner.query(
        `EXPLAIN (ANALYZE, FORMAT JSON) ${statement.text}`,
        statement.values,
      )) as [{ 'QUERY PLAN': [{ Plan: PlanNode }] }];
      const [{ Plan: plan }] = row['QUERY PLAN'];
      const scans = nodesOf(plan).filter((node) =>
        /events_/.test(node['Relation Name'] ?? node['Index Name'] ?? ''),
      );
      expect(scans.length).toBeGreaterThan(0);
      const tooWide = scans.filter(
        (node) =>
          (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops'] >
          // Rows that an earlier case has changed and given back are there several times.
          10 * ASKED,
      );
      expect(tooWide).toEqual([]);
    } finally {
      await runner.rollbackTransaction();
      await runner.release();
    }
  },
);

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
