import type { QueryRunner } from 'typeorm';
import { afterEach, describe, expect, it } from 'vitest';
import { eventsMigrator } from '../../lib/store/migrations/migrator.js';
import { readFigures as readOnMysql } from '../../lib/store/mysql/health.sql.js';
import { toParameters } from '../../lib/store/mysql/sql-text.js';
import { readFigures, sortNothing } from '../../lib/store/postgres/health.sql.js';
import { tableNames } from '../../lib/store/tables.js';
import { openDataSource } from '../support/data-source.js';
import { createTestDatabase, onPostgres, sql } from '../support/database.js';

/** Deliveries; of the done ones some hundred bytes of error each, as a table in use has them. */
const DONE = 40_000;
const QUEUED = 6_000;
const DEAD = 1_500;

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function open(): Promise<QueryRunner> {
  const database = await createTestDatabase();
  cleanups.push(() => database.drop());
  const dataSource = await openDataSource(database.url);
  cleanups.push(() => dataSource.destroy());
  const runner = dataSource.createQueryRunner();
  cleanups.push(() => runner.release());
  await eventsMigrator.up(runner);
  await runner.query(
    `INSERT INTO events_relay (namespace, identity, last_position) VALUES ('n', 'i', 1)`,
  );
  return runner;
}

async function insert(
  runner: QueryRunner,
  status: string,
  rows: number,
  from: number,
): Promise<void> {
  const now = sql.instant('2026-01-01T00:00:00Z');
  const only = (one: string) => (status === one ? now : 'NULL');
  await runner.query(
    `INSERT INTO events_deliveries (namespace, position, handler, status, epoch, attempts,
        max_attempts, last_error, queued_at, rescue_at, dead_at)
      SELECT 'n', ${from} + n, 'mails', '${status}', 0, 1, 5, repeat('x', 100),
        ${now}, ${only('queued')}, ${only('dead')} FROM ${sql.series(rows)}`,
  );
}

async function fill(runner: QueryRunner, analyze: (when: 'before' | 'after') => Promise<void>) {
  await insert(runner, 'completed', DONE, 0);
  await analyze('before');
  await insert(runner, 'queued', QUEUED, DONE);
  await insert(runner, 'dead', DEAD, DONE + QUEUED);
  await analyze('after');
}

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Shared Hit Blocks': number;
  readonly 'Shared Read Blocks': number;
  readonly Plans?: readonly PlanNode[];
}

const nodesOf = (node: PlanNode): PlanNode[] => [node, ...(node.Plans ?? []).flatMap(nodesOf)];

describe.runIf(onPostgres)('the figures on PostgreSQL', () => {
  const tables = tableNames({ prefix: 'events_', schema: undefined }, (name) => `"${name}"`);

  it.each(['never', 'before', 'after'] as const)(
    'read indexes, and no more than they count; tables analyzed: %s the backlog',
    async (analyzed) => {
      const runner = await open();
      await runner.query('ALTER TABLE events_deliveries SET (autovacuum_enabled = off)');
      await fill(runner, async (when) => {
        if (when === analyzed) await runner.query('ANALYZE events_deliveries');
      });
      await runner.startTransaction();
      await runner.query(sortNothing().text);
      for (const [limit, buffers] of [
        [1_000, 300],
        [100_000, 1_500],
      ] as const) {
        const { text, values } = readFigures(tables, 'n', limit);
        const explain = `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`;
        // Twice: the first one leaves hints in rows and indexes.
        await runner.query(explain, values);
        const [row] = (await runner.query(explain, values)) as [
          { 'QUERY PLAN': [{ Plan: PlanNode }] },
        ];
        const { Plan: plan } = row['QUERY PLAN'][0];
        const scans = nodesOf(plan).filter(
          (node) => node['Index Name']?.startsWith('events_deliveries') === true,
        );
        expect(
          scans
            .map((node) => `${node['Node Type']} ${node['Index Name']} ${node['Actual Rows']}`)
            .toSorted(),
        ).toEqual(
          [
            `Index Only Scan events_deliveries_dead ${Math.min(limit, DEAD)}`,
            `Index Only Scan events_deliveries_waiting ${Math.min(limit, QUEUED)}`,
            `Index Only Scan events_deliveries_waiting 1`,
          ].toSorted(),
        );
        expect(
          nodesOf(plan).filter(
            (node) =>
              node['Relation Name'] === 'events_deliveries' &&
              node['Node Type'] !== 'Index Only Scan',
          ),
        ).toEqual([]);
        expect(plan['Shared Hit Blocks'] + plan['Shared Read Blocks']).toBeLessThan(buffers);
      }
      await runner.rollbackTransaction();
    },
  );
});

describe.runIf(!onPostgres)('the figures on MariaDB', () => {
  const tables = tableNames({ prefix: 'events_', schema: undefined }, (name) => `\`${name}\``);

  it.each(['never', 'before', 'after'] as const)(
    'read indexes, and no more than they count; tables analyzed: %s the backlog',
    async (analyzed) => {
      const runner = await open();
      await runner.query('ALTER TABLE events_deliveries STATS_AUTO_RECALC = 0');
      await fill(runner, async (when) => {
        if (when === analyzed) await runner.query('ANALYZE TABLE events_deliveries');
      });
      const { text, values } = readOnMysql(tables, 'n', 1_000);
      const plan = (await runner.query(`EXPLAIN ${text}`, toParameters(values))) as {
        table: string | null;
        key: string | null;
        Extra: string | null;
      }[];
      const steps = plan.filter(({ table }) => table === 'events_deliveries');
      expect(steps.map(({ key }) => String(key)).toSorted()).toEqual([
        'deliveries_dead',
        'deliveries_waiting',
      ]);
      // From the index alone, and in its order.
      for (const { Extra } of steps) expect(Extra).toMatch(/^Using where; Using index$/);
      const handler = async (name: string) => {
        const rows: unknown = await runner.query(`SHOW SESSION STATUS LIKE '${name}'`);
        return Number((rows as [{ Value: string }])[0].Value);
      };
      const read = async () =>
        (await handler('Handler_read_next')) + (await handler('Handler_read_rnd_next'));
      const before = await read();
      await runner.query(text, toParameters(values));
      // The rows counted, and once more each as they are read from where the server keeps them.
      expect((await read()) - before).toBeLessThan(2 * (1_000 + 1_000) + 1_500);
    },
  );
});
