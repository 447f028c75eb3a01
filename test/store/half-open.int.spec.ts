import { Signals } from 'nestjs-durable-events';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { OutagePause } from '../../lib/handle/outage-pause.js';
import { limited, StoreConnection } from '../../lib/store/connection.js';
import { createStores } from '../../lib/store/create-store.js';
import { DEFAULT_TABLES } from '../../lib/store/migrations/migrator.js';
import { openDataSource, pool } from '../support/data-source.js';
import { createTestDatabase, sql, type TestDatabase } from '../support/database.js';
import { TcpProxy } from '../support/proxy.js';
import { nextSignal } from '../support/signals.js';

const LIMIT_MS = 200;
const ONE = { text: 'SELECT 1 AS one', values: [] };

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

/** A DataSource with few connections, behind a proxy. */
async function open(connections = 1) {
  const url = new URL(database.url);
  const proxy = await TcpProxy.listen(url.hostname, Number(url.port));
  url.hostname = '127.0.0.1';
  url.port = String(proxy.port);
  const dataSource = await openDataSource(url.href, pool(connections));
  onTestFinished(async () => {
    await dataSource.destroy();
    await proxy.close();
  });
  const connection = new StoreConnection(dataSource, LIMIT_MS);
  const ask = () => connection.query<{ one: number }>(ONE);
  // Without the limit: a busy machine may take longer.
  const isAlive = async () => expect(await dataSource.query(ONE.text)).toEqual([{ one: 1 }]);
  await isAlive();
  return { dataSource, proxy, connection, ask, isAlive };
}

it.each(['a statement', 'a transaction', 'its commit'])(
  'C14: %s on a connection that only seems to be open is given up, and the pool gets a new one',
  async (what) => {
    const { dataSource, proxy, connection, ask, isAlive } = await open();
    const transaction = () =>
      connection.transaction(async (runner) => {
        await runner.query('SELECT 1');
        if (what === 'its commit') proxy.strand();
      });
    if (what !== 'its commit') proxy.strand();
    const error: unknown = await (what === 'a statement' ? ask() : transaction()).catch(
      (thrown: unknown) => thrown,
    );
    expect(String(error)).toContain('connection terminated: no answer in 200 ms');
    const { events } = createStores(dataSource, { namespace: 'n', tables: DEFAULT_TABLES });
    expect(events.isInfrastructureError(error)).toBe(true);
    await isAlive();
  },
);

it('C14: so is work on a connection of the caller', async () => {
  const { dataSource, proxy, isAlive } = await open();
  const runner = dataSource.createQueryRunner();
  await runner.startTransaction();
  proxy.strand();
  await expect(limited(runner, () => runner.query('SELECT 1'), LIMIT_MS)).rejects.toThrow(
    'connection terminated',
  );
  await runner.release();
  await isAlive();
});

it('C14: the limit begins when the pool has given a connection', async () => {
  const { dataSource, proxy, ask } = await open();
  const greedy = dataSource.createQueryRunner();
  await greedy.connect();
  const asked = ask();
  asked.catch(() => undefined);
  await greedy.query(`SELECT ${sql.sleep((2 * LIMIT_MS) / 1_000)}`);
  proxy.strand();
  await greedy.release();
  await expect(asked).rejects.toThrow('no answer in 200 ms');
});

it('C12: an outage is over once the database answers, although old connections never do', async () => {
  const { dataSource, proxy } = await open(3);
  await Promise.all([1, 2, 3].map(() => dataSource.query(`SELECT ${sql.sleep(0.1)}`)));
  const connection = new StoreConnection(dataSource);
  const answerLimitMs = 100;
  const signals = new Signals('n');
  const workers = { pause: () => undefined, resume: () => undefined };
  const times = { firstMs: 10, maxMs: 10, sameOutageMs: 10, answerLimitMs };
  const pause = new OutagePause(
    workers,
    () => connection.query(ONE, answerLimitMs),
    signals,
    times,
  );
  onTestFinished(() => pause.stop());
  const resumed = nextSignal(signals, 'workers.resumed');
  proxy.strand();
  pause.report(new Error('no answer'));
  expect((await resumed).pausedMs).toBeGreaterThanOrEqual(3 * answerLimitMs);
});

it('work that a driver never ends keeps no process alive', async () => {
  const { dataSource } = await open();
  const timers = () =>
    process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
  const runner = dataSource.createQueryRunner();
  await runner.connect();
  const before = timers();
  let meanwhile = -1;
  await limited(runner, async () => {
    meanwhile = timers();
  });
  await runner.release();
  expect(meanwhile).toBe(before);
});
