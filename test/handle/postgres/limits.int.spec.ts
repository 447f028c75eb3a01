import { once, type EventEmitter } from 'node:events';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readDeliveries } from '../../support/deliveries.js';
import { nextSignal, recordSignals } from '../../support/signals.js';
import { emitIn } from '../../support/start-app.js';
import { createTestBackends, type TestBackends } from '../../support/test-app.js';
import { Ordered, startReserving, type Reserve } from '../reserving-app.js';

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

/** Is idle in its transaction until the database has ended the session for it: this transaction's limit only. */
const idle: Reserve = async ({ manager }) => {
  const connection = (await manager.queryRunner!.connect()) as EventEmitter;
  const ended = once(connection, 'error');
  await manager.query("SET LOCAL idle_in_transaction_session_timeout = '100ms'");
  await ended;
};

it.each<[string, Reserve]>([
  ['and then goes on', ({ manager }) => manager.query('SELECT 1')],
  ['and returns', () => undefined],
])('a handler that is idle for longer than the database allows dies %s', async (_how, after) => {
  const { app, namespace } = await startReserving(backends, async (context, reserving) => {
    await idle(context, reserving);
    await after(context, reserving);
  });
  const postponed = recordSignals(app.signals, 'delivery.postponed');
  const paused = recordSignals(app.signals, 'workers.paused');
  const dead = nextSignal(app.signals, 'delivery.dead');
  await emitIn(app, Ordered, { n: 1 });
  expect(String((await dead).error)).toMatch(/idle-in-transaction timeout.*outside of its trans/);
  expect(postponed).toEqual([]);
  expect(paused).toEqual([]);
  expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([
    { status: 'dead', attempts: 2 },
  ]);
});

it.each(['53400', '58030', '58P01', '08001', '08004'])(
  'an error %s out of a statement of the handler’s costs an attempt',
  async (code) => {
    const { app } = await startReserving(backends, ({ manager }) =>
      manager.query(`DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '${code}'; END $$`),
    );
    const dead = nextSignal(app.signals, 'delivery.dead');
    await emitIn(app, Ordered, { n: 1 });
    expect(await dead).toMatchObject({ attempt: 2 });
  },
);

it('temp_file_limit is the handler’s doing', async () => {
  const { app } = await startReserving(backends, async ({ manager }) => {
    await manager.query("SET LOCAL temp_file_limit = '64kB'");
    await manager.query("SET LOCAL work_mem = '64kB'");
    await manager.query(
      'SELECT n FROM generate_series(1, 50000) AS n ORDER BY n DESC LIMIT 1 OFFSET 40000',
    );
  });
  const dead = nextSignal(app.signals, 'delivery.dead');
  await emitIn(app, Ordered, { n: 1 });
  expect(String((await dead).error)).toMatch('temp_file_limit');
});
