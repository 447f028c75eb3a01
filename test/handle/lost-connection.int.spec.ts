import type { HandlerContext } from 'nestjs-durable-events';
import { once, type EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { QueryRunner } from 'typeorm';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { onPostgres, sql } from '../support/database.js';
import { readDeliveries } from '../support/deliveries.js';
import { countSignals, nextSignal, recordSignals } from '../support/signals.js';
import { emitIn } from '../support/start-app.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';
import { Ordered, startReserving, type Reserve } from './reserving-app.js';

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

/** A driver's connection. */
interface Streamed {
  readonly stream: Socket;
}

async function sessionOf(connection: { query(text: string): Promise<unknown> }): Promise<number> {
  const [row] = (await connection.query(`SELECT ${sql.sessionId} AS id`)) as [{ id: number }];
  return row.id;
}

it.each<[string, (context: HandlerContext) => Promise<unknown>]>([
  ['idle', () => Promise.resolve()],
  ['at work', ({ manager }) => manager.query(`SELECT ${sql.sleep(10)}`)],
])('a session that an administrator ends while it is %s costs no attempt', async (_when, work) => {
  let runs = 0;
  const { app, namespace } = await startReserving(
    backends,
    async (context, { dataSource }) => {
      if (++runs > 1) return;
      const session = await sessionOf(context.manager);
      const working = work(context);
      working.catch(() => undefined);
      await sql.endSession(dataSource, session);
      await working;
      await context.manager.query('SELECT 1');
    },
    1,
  );
  const postponed = nextSignal(app.signals, 'delivery.postponed');
  const completed = nextSignal(app.signals, 'delivery.completed');
  await emitIn(app, Ordered, { n: 1 });
  await postponed;
  expect(await completed).toMatchObject({ attempt: 1 });
  expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([{ attempts: 1 }]);
});

/** Ends the session of a runner, and waits until this process has heard of it. */
async function endSession(runner: QueryRunner): Promise<void> {
  const heard = once((await runner.connect()) as EventEmitter, 'error').catch(() => undefined);
  await sql.endSession(runner.dataSource, await sessionOf(runner));
  await heard;
}

type When = 'before the handler runs' | 'before the commit';

it.each<When>(['before the handler runs', 'before the commit'])(
  'a session that is ended right %s costs no attempt',
  async (when) => {
    let ran = false;
    const { app, namespace } = await startReserving(
      backends,
      () => {
        ran = true;
      },
      1,
    );
    let ended = false;
    const end = async (at: When, runner: QueryRunner) => {
      if (ended || at !== when) return;
      ended = true;
      await endSession(runner);
    };
    app.dataSource.subscribers.push({
      afterQuery: ({ query, queryRunner }) => {
        const completes = queryRunner.isTransactionActive && /UPDATE .*deliveries/s.test(query);
        return completes ? end('before the handler runs', queryRunner) : undefined;
      },
      beforeTransactionCommit: ({ queryRunner }) =>
        ran ? end('before the commit', queryRunner) : undefined,
    });
    const postponed = nextSignal(app.signals, 'delivery.postponed');
    const completed = nextSignal(app.signals, 'delivery.completed');
    await emitIn(app, Ordered, { n: 1 });
    // What the driver says depends on whether it writes before the server has hung up.
    expect((await postponed).error).toBeInstanceOf(Error);
    expect(ended).toBe(true);
    expect(await completed).toMatchObject({ attempt: 1 });
    expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([{ attempts: 1 }]);
  },
);

const reset: Reserve = async ({ manager }) => {
  const { databaseConnection } = manager.queryRunner as unknown as {
    databaseConnection: { connection: Streamed } & Streamed;
  };
  const { stream } = onPostgres ? databaseConnection.connection : databaseConnection;
  stream.resetAndDestroy();
  await manager.query('SELECT 1');
};
const terminate: Reserve = async ({ manager }, { dataSource }) => {
  await sql.endSession(dataSource, await sessionOf(manager));
  await manager.query('SELECT 1');
};

it.each([
  ['reset', reset],
  ['ended by an administrator', terminate],
])(
  'connections that are %s cost nothing three times in a row, then attempts',
  async (_how, lose) => {
    const { app, namespace } = await startReserving(backends, lose);
    const postponed = countSignals(app.signals, 'delivery.postponed', 3);
    const paused = recordSignals(app.signals, 'workers.paused');
    await emitIn(app, Ordered, { n: 1 });
    const waits = (await postponed).map(({ retryInMs }) => retryInMs);
    // Only now: the waits may take 14 s.
    const dead = nextSignal(app.signals, 'delivery.dead');
    [1_000, 2_000, 4_000].forEach((least, index) => {
      expect(waits[index]).toBeGreaterThanOrEqual(least);
      expect(waits[index]).toBeLessThanOrEqual(2 * least);
    });
    expect(await dead).toMatchObject({ attempt: 2 });
    // The database answered each time: it is no reason to pause the workers.
    expect(paused).toEqual([]);
    expect(await readDeliveries(app.dataSource, namespace)).toMatchObject([
      { status: 'dead', attempts: 2 },
    ]);
  },
  40_000,
);
