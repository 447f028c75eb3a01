import type { DataSource, QueryRunner } from 'typeorm';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createStores } from '../../../lib/store/create-store.js';
import type { EventStore } from '../../../lib/store/event-store.js';
import { DEFAULT_TABLES, eventsMigrator } from '../../../lib/store/migrations/migrator.js';
import { appendMany, handler, LIMITS, record, relayOnce } from '../../contract/contract-context.js';
import { openDataSource } from '../../support/data-source.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { QueryLog } from '../../support/query-log.js';
import { eventually } from '../../support/wait.js';

const POOL_SIZE = 2;
/** A floor is relied on for 30 s, where the look at the whole was slow. */
const LONGEST_FLOOR_MS = 45_000;

/** Keeps behind which number each pass has looked: the third parameter of its move. */
class MoveLog extends QueryLog {
  readonly floors: number[] = [];
  readonly errors: unknown[] = [];

  override logQuery(text: string): void {
    const move = /^EXECUTE \w+\('n', '\d+', '(\d+)', '\d+'/m.exec(text);
    if (move !== null) this.floors.push(Number(move[1]));
  }

  override logQueryError(error: string | Error): void {
    this.errors.push(error);
  }
}

let database: TestDatabase;
let dataSource: DataSource;
let store: EventStore;
let moves: MoveLog;
beforeEach(async () => {
  database = await createTestDatabase();
  moves = new MoveLog();
  const logged = { logger: moves, logging: true, poolSize: POOL_SIZE };
  dataSource = await openDataSource(database.url, logged);
  await use((runner) => eventsMigrator.up(runner));
  store = createStores(dataSource, { namespace: 'n', tables: DEFAULT_TABLES }).events;
  await store.prepare();
});
afterEach(async () => {
  await dataSource.destroy();
  await database.drop();
});

async function use(work: (runner: QueryRunner) => Promise<unknown>): Promise<void> {
  const runner = dataSource.createQueryRunner();
  try {
    await work(runner);
  } finally {
    await runner.release();
  }
}

/** Moves events one by one, until the passes leave out what is done. */
async function raiseFloor(): Promise<void> {
  await eventually(
    async () => {
      await appendMany(store, 1);
      await relayOnce(store);
      return (moves.floors.at(-1) ?? 0) > 0;
    },
    { what: 'a pass looks from where others have ended', timeout: LONGEST_FLOOR_MS },
  );
}

it('an event that is committed before another is emitted comes before it, however late', async () => {
  const [late, next] = [record(), record()];
  await use(async (runner) => {
    await runner.startTransaction();
    await store.append([late], runner);
    for (let pass = 0; pass < 10; pass++) {
      await appendMany(store, 1);
      await relayOnce(store);
    }
    expect(new Set(moves.floors)).toEqual(new Set([0]));
    await runner.commitTransaction();
  });
  await store.append([next]);
  const { events } = await relayOnce(store);
  expect(events.map(({ eventId }) => eventId)).toEqual([late.eventId, next.eventId]);
  await raiseFloor();
});

it('events whose numbers begin anew are found', async () => {
  await raiseFloor();
  await dataSource.query('ALTER TABLE events_outbox ALTER COLUMN seq RESTART WITH 1');
  await appendMany(store, 1);
  await eventually(async () => (await relayOnce(store)).events.length === 1, {
    what: 'the event is moved',
    timeout: LONGEST_FLOOR_MS,
  });
  expect(await store.hasDue()).toBe(false);
}, 100_000);

it('a restored database is looked at whole, by the first pass that finds it', async () => {
  await raiseFloor();
  await dataSource.query('TRUNCATE events_log, events_deliveries');
  await dataSource.query('UPDATE events_relay SET last_position = 0');
  await dataSource.query('ALTER TABLE events_outbox ALTER COLUMN seq RESTART WITH 1');
  await appendMany(store, 1);
  expect(await relayOnce(store)).toMatchObject({ events: [{ position: 1 }] });
  // The one that found it, and the one that looked at the whole.
  expect(moves.floors.slice(-2)).toEqual([expect.toSatisfy((floor) => floor > 0), 0]);
});

it('stores share what their connections have prepared', async () => {
  const other = createStores(dataSource, { namespace: 'other', tables: DEFAULT_TABLES }).events;
  await other.prepare();
  for (const each of [store, other, store]) {
    await appendMany(each, 1);
    expect((await relayOnce(each)).events).toHaveLength(1);
  }
  expect(moves.errors).toEqual([]);
});

it('a pass that finds other handlers gives events to those', async () => {
  await appendMany(store, 1);
  expect((await relayOnce(store)).handlers).toEqual([]);
  const [noted, sent] = [handler('noted'), handler('sent')];
  await store.registerHandlers([noted, sent]);
  await appendMany(store, 1);
  expect((await relayOnce(store)).handlers).toMatchObject([{ id: 'noted' }, { id: 'sent' }]);
  await store.retireHandler('sent');
  await appendMany(store, 1);
  expect((await relayOnce(store)).handlers).toMatchObject([{ id: 'noted' }]);
  const deliveries = await dataSource.query<unknown[]>(
    'SELECT position::integer, handler FROM events_deliveries ORDER BY position, handler',
  );
  expect(deliveries).toEqual([
    { position: 2, handler: 'noted' },
    { position: 2, handler: 'sent' },
    { position: 3, handler: 'noted' },
  ]);
});

it.each([1, 3])('a transaction has its id before its events have numbers (%i)', async (count) => {
  await dataSource.query(`CREATE SEQUENCE numbers`);
  await dataSource.query(`CREATE FUNCTION next_number() RETURNS bigint LANGUAGE plpgsql AS $$
    BEGIN
      IF pg_current_xact_id_if_assigned() IS NULL THEN RAISE 'no id yet'; END IF;
      RETURN nextval('numbers');
    END $$`);
  await dataSource.query(`ALTER TABLE events_outbox ALTER COLUMN seq DROP IDENTITY,
    ALTER COLUMN seq SET DEFAULT next_number()`);
  expect(await appendMany(store, count)).toHaveLength(count);
  await expect(
    dataSource.query(`INSERT INTO events_outbox (namespace, event_id, name, version, category, data,
        occurred_at) VALUES ('n', gen_random_uuid(), 'x', 1, 'domain', '{}', now())`),
  ).rejects.toThrow('no id yet');
});

/** DEALLOCATE by somebody else, as behind a pooler. */
async function loseStatements(): Promise<void> {
  await use(async (first) => {
    await use(async (second) => {
      await Promise.all([first.query('DEALLOCATE ALL'), second.query('DEALLOCATE ALL')]);
    });
  });
}

const countPrepared = async (): Promise<number> => {
  const [row] = await dataSource.query<[{ kept: number }]>(
    'SELECT count(*)::integer AS kept FROM pg_prepared_statements',
  );
  return row.kept;
};

it('statements that are lost once are prepared again, and no pass fails', async () => {
  await appendMany(store, 1);
  await relayOnce(store);
  const kept = await countPrepared();
  expect(kept).toBeGreaterThan(0);
  await loseStatements();
  await appendMany(store, 1);
  expect(await store.relay(LIMITS)).toMatchObject({ events: [{ name: 'order.placed' }] });
  expect(await countPrepared()).toBe(kept);
});

it('a pooler that loses them often is noticed, and no pass fails', async () => {
  for (const kept of [3, 3, 0, 0]) {
    await appendMany(store, 1);
    expect(await store.relay(LIMITS)).toMatchObject({ events: [{ name: 'order.placed' }] });
    expect(await countPrepared()).toBe(kept);
    await loseStatements();
  }
});

it('a schema’s name may look like a parameter, also where statements get lost', async () => {
  const tables = { ...DEFAULT_TABLES, schema: 'app$1' };
  await use((runner) => eventsMigrator.up(runner, tables));
  const apart = createStores(dataSource, { namespace: 'n', tables }).events;
  await apart.prepare();
  for (let pass = 0; pass < 4; pass++) {
    await appendMany(apart, 1);
    expect((await relayOnce(apart)).events).toHaveLength(1);
    await loseStatements();
  }
});

it('a pass is READ COMMITTED and limited, whatever the database’s defaults are', async () => {
  await dataSource.query(`DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable', current_database());
  END $$`);
  await dataSource.query(`CREATE FUNCTION check_settings() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF current_setting('transaction_isolation') <> 'read committed'
        OR current_setting('statement_timeout') <> '30s' THEN RAISE 'other settings'; END IF;
      RETURN NULL;
    END $$`);
  await dataSource.query(`CREATE TRIGGER checked AFTER INSERT ON events_log
    FOR EACH STATEMENT EXECUTE FUNCTION check_settings()`);
  const fresh = await openDataSource(database.url);
  try {
    expect(await fresh.query('SHOW default_transaction_isolation')).toMatchObject([
      { default_transaction_isolation: 'serializable' },
    ]);
    const there = createStores(fresh, { namespace: 'n', tables: DEFAULT_TABLES }).events;
    await appendMany(there, 1);
    expect((await relayOnce(there)).events).toHaveLength(1);
  } finally {
    await fresh.destroy();
  }
});

it('the time of a pass is limited before it asks for its lock', async () => {
  const statements: string[] = [];
  moves.logQuery = (text) => statements.push(text);
  await appendMany(store, 1);
  await relayOnce(store);
  expect(statements.at(-1)).toMatch(
    /^START TRANSACTION[^;]*;\nSET LOCAL statement_timeout = '30s';[^]*EXECUTE events_lock_relay_[^]*;\nCOMMIT$/,
  );
});

it('a pass never ends a transaction that is open on its connection', async () => {
  await dataSource.query('CREATE TABLE business (id integer)');
  await use(async (runner) => {
    const shared = Object.create(dataSource, {
      createQueryRunner: { value: () => Object.create(runner, { release: { value: noop } }) },
    }) as DataSource;
    const joined = createStores(shared, { namespace: 'n', tables: DEFAULT_TABLES }).events;
    await runner.startTransaction();
    await runner.query('INSERT INTO business VALUES (1)');
    await appendMany(joined, 1);
    expect((await relayOnce(joined)).events).toHaveLength(1);
    await runner.rollbackTransaction();
  });
  const [{ left }] = await dataSource.query<[{ left: number }]>(
    'SELECT ((SELECT count(*) FROM business) + (SELECT count(*) FROM events_log))::integer AS left',
  );
  expect(left).toBe(0);
});

it('a pass without its lock moves nothing, though another one of its transaction had one', async () => {
  const other = createStores(dataSource, { namespace: 'other', tables: DEFAULT_TABLES }).events;
  await other.prepare();
  await use(async (runner) => {
    const shared = Object.create(dataSource, {
      createQueryRunner: { value: () => Object.create(runner, { release: { value: noop } }) },
    }) as DataSource;
    const storeOf = (namespace: string) =>
      createStores(shared, { namespace, tables: DEFAULT_TABLES }).events;
    const [one, two] = [storeOf('n'), storeOf('other')];
    await runner.startTransaction();
    await appendMany(one, 3);
    await appendMany(two, 1);
    // Both know who the handlers are.
    expect((await relayOnce(one)).events).toHaveLength(3);
    expect((await relayOnce(two)).events).toHaveLength(1);
    await appendMany(one, 1);
    await appendMany(two, 1);
    expect((await relayOnce(one)).events).toHaveLength(1);
    await runner.query(`DELETE FROM events_relay WHERE namespace = 'other'`);
    expect(await two.relay(LIMITS)).toBe('busy');
    expect(await relayOnce(two)).toMatchObject({ events: [{ position: 2 }] });
    await runner.rollbackTransaction();
  });
});

const noop = async () => undefined;
