import { defineEvent } from 'nestjs-durable-events';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { openBull } from '../support/bull.js';
import { sql } from '../support/database.js';
import { countOutbox, readDeliveries, readPositions, sorted, upTo } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { QueryLog } from '../support/query-log.js';
import { marked } from '../support/queue-mark.js';
import { insertLogged } from '../support/seed.js';
import { countSignals, nextSignal, recordSignals } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestApp, type TestBackends } from '../support/test-app.js';
import { deferred, eventually } from '../support/wait.js';

const Happened = defineEvent<{ n?: number }>('happened');
const NEVER = '20d';

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

interface Relaying {
  app: TestApp;
  namespace: string;
  handled: number[];
}

/** An app with one handler that notes the `n` of what it gets. */
async function startRelaying(
  pollInterval: '200ms' | typeof NEVER = '200ms',
  logger = new QueryLog(),
): Promise<Relaying> {
  const namespace = newNamespace();
  const handled: number[] = [];
  const app = await startApp({
    url: backends.database.url,
    dataSource: { logger },
    events: { namespace, queue: backends.redis, relay: { pollInterval } },
    providers: [onEvent(Happened, { id: 'noted' }, ({ data }) => handled.push(data.n))],
  });
  return { app, namespace, handled };
}

describe('transactions that overlap', () => {
  it('C1 C2: a transaction that stays open neither stalls others nor loses its earlier event', async () => {
    const { app, namespace, handled } = await startRelaying();
    const late = deferred();
    const emitted = deferred();
    const early = app.dataSource.transaction(async () => {
      await app.bus.emit(Happened, { n: 1 });
      emitted.resolve();
      await late.promise;
    });
    await emitted.promise;

    const others = countSignals(app.signals, 'delivery.completed', 2);
    await emitIn(app, Happened, { n: 2 });
    await emitIn(app, Happened, { n: 3 });
    await others;
    expect(sorted(handled)).toEqual([2, 3]);

    const last = nextSignal(app.signals, 'delivery.completed');
    late.resolve();
    await early;
    expect((await last).position).toBe(3);
    expect(sorted(handled)).toEqual([1, 2, 3]);
    expect(await readPositions(app.dataSource, namespace)).toEqual(upTo(3));
  });

  it('C2: an old snapshot of somebody else stalls nothing', async () => {
    const { app, handled } = await startRelaying();
    const runner = app.dataSource.createQueryRunner();
    await runner.startTransaction('REPEATABLE READ');
    // A write of its own, too: on PostgreSQL this makes a transaction with a number.
    await insertLogged(runner, newNamespace(), { count: 1 });
    try {
      const completed = nextSignal(app.signals, 'delivery.completed');
      await emitIn(app, Happened, { n: 1 });
      await completed;
      expect(handled).toEqual([1]);
    } finally {
      await runner.rollbackTransaction();
      await runner.release();
    }
  });
});

describe('positions', () => {
  it('have no gap after a pass that failed in the middle', async () => {
    const { app, namespace, handled } = await startRelaying();
    const { dataSource, signals } = app;
    const failed = nextSignal(signals, 'relay.failed');
    const recovered = nextSignal(signals, 'relay.recovered');
    const refused = {
      name: `refuse_${namespace}`,
      before: 'UPDATE',
      table: 'events_relay',
      when: `NEW.namespace = '${namespace}'`,
    } as const;
    await sql.refuse(dataSource, refused, 'the disk is full');
    const completed = countSignals(signals, 'delivery.completed', 3);
    await emitIn(app, Happened, { n: 1 });
    expect(String((await failed).error)).toContain('the disk is full');
    expect(await readPositions(dataSource, namespace)).toEqual([]);
    expect(await countOutbox(dataSource, namespace)).toBe(1);

    await sql.dropTrigger(dataSource, refused);
    await emitIn(app, Happened, { n: 2 });
    await emitIn(app, Happened, { n: 3 });
    await completed;
    await recovered;
    expect(sorted(handled)).toEqual([1, 2, 3]);
    expect(await readPositions(dataSource, namespace)).toEqual(upTo(3));
  });

  it('are counted per namespace', async () => {
    const one = await startRelaying();
    const other = await startRelaying();
    const completed = [one, other].map(({ app }) =>
      countSignals(app.signals, 'delivery.completed', 2),
    );
    for (const n of [1, 2]) {
      await emitIn(one.app, Happened, { n });
      await emitIn(other.app, Happened, { n: n + 10 });
    }
    await Promise.all(completed);
    expect(sorted(one.handled)).toEqual([1, 2]);
    expect(sorted(other.handled)).toEqual([11, 12]);
    for (const { app, namespace } of [one, other]) {
      expect(await readPositions(app.dataSource, namespace)).toEqual([1, 2]);
    }
  });

  it('are also given to events that nobody handles; those get no deliveries', async () => {
    const { app, namespace } = await startRelaying();
    const moved = nextSignal(app.signals, 'relay.moved');
    const { eventId } = await emitIn(app, defineEvent('unheard'), { n: 1 });
    expect(await moved).toEqual({ events: 1, deliveries: 0, lastPosition: 1 });
    expect(await app.log.get(eventId)).toMatchObject({ position: 1, deliveries: [] });
    expect(await countOutbox(app.dataSource, namespace)).toBe(0);
  });
});

describe('a busy relay', () => {
  it('is no failure for another one, which goes on when the lock is free', async () => {
    const queries = new QueryLog();
    const { app, namespace, handled } = await startRelaying(NEVER, queries);
    const failures = recordSignals(app.signals, 'relay.failed');
    const completed = nextSignal(app.signals, 'delivery.completed');
    const holder = app.dataSource.createQueryRunner();
    await holder.startTransaction();
    await holder.sql`SELECT 1 FROM events_relay WHERE namespace = ${namespace} FOR UPDATE`;
    await emitIn(app, Happened, { n: 1 });
    // Passes ask for the lock, again and again, and never wait for it.
    await queries.sent(sql.lockRelay, queries.count(sql.lockRelay) + 3);
    expect(handled).toEqual([]);
    await holder.rollbackTransaction();
    await holder.release();
    await completed;
    expect(handled).toEqual([1]);
    expect(failures).toEqual([]);
  });
});

describe('the wake-up', () => {
  it('follows the outermost commit: nobody waits for the poll', async () => {
    const { app, handled } = await startRelaying(NEVER);
    const completed = nextSignal(app.signals, 'delivery.completed');
    await app.dataSource.transaction(async (outer) => {
      await outer.transaction(() => app.bus.emit(Happened, { n: 1 }));
      // The savepoint's release is no commit; a wake-up by it would find nothing.
      await outer.query(`SELECT ${sql.sleep(0.05)}`);
      expect(handled).toEqual([]);
    });
    await completed;
    expect(handled).toEqual([1]);
  });

  it('is not lost when it comes during a pass', async () => {
    const { app, namespace, handled } = await startRelaying(NEVER);
    const { dataSource } = app;
    // The look after the queue waits for the relay's row, too, when it notes its first mark.
    await marked(app, await openBull(backends, 'redis', namespace), namespace);
    const moved = recordSignals(app.signals, 'relay.moved');
    const completed = countSignals(app.signals, 'delivery.completed', 2);
    // The pass waits for whoever has taken its position; by then it has read what it will move.
    const holder = dataSource.createQueryRunner();
    await holder.startTransaction();
    await insertLogged(holder, namespace, { count: 1, name: 'squatter' });
    await emitIn(app, Happened, { n: 1 });
    const waits = async () => (await sql.lockWaits(dataSource)).length > 0;
    await eventually(waits, { what: 'the pass waits for its position' });
    await emitIn(app, Happened, { n: 2 });
    await holder.rollbackTransaction();
    await holder.release();
    await completed;
    expect(sorted(handled)).toEqual([1, 2]);
    expect(moved).toHaveLength(2);
  });

  it('follows a standalone emit', async () => {
    const { app, handled } = await startRelaying(NEVER);
    const completed = nextSignal(app.signals, 'delivery.completed');
    await app.bus.emit(Happened, { n: 1 }, { standalone: 'allow' });
    await completed;
    expect(handled).toEqual([1]);
  });

  it('is not needed: what another process committed is found by polling', async () => {
    const { app, namespace, handled } = await startRelaying();
    const emitter = await startApp({
      url: backends.database.url,
      events: { namespace, relay: { enabled: false }, workers: { enabled: false } },
    });
    const completed = nextSignal(app.signals, 'delivery.completed');
    await emitIn(emitter, Happened, { n: 1 });
    await completed;
    expect(handled).toEqual([1]);
  });
});

describe('a delayed event', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it('is relayed when it is due and not before, by the clock of the database', async () => {
    const { app, namespace, handled } = await startRelaying();
    // An hour fast: by this process's clock it would be due at once.
    vi.useFakeTimers({ now: Date.now() + 3_600_000, toFake: ['Date'] });
    const { eventId } = await emitIn(app, Happened, { n: 1 }, { delay: '30m' });
    const [{ late }] = await app.dataSource.sql<[{ late: number | string }]>`
      SELECT COUNT(*) AS late FROM events_outbox
      WHERE event_id = ${eventId} AND scheduled_at > ${() => sql.after(30 * 60_000)}`;
    expect(Number(late)).toBe(0);
    const other = nextSignal(app.signals, 'delivery.completed');
    await emitIn(app, Happened, { n: 2 });
    await other;
    expect(handled).toEqual([2]);
    const delayed = nextSignal(app.signals, 'delivery.completed');
    // Both at once: it may be relayed as soon as somebody sees this.
    const [{ due }] = await app.dataSource.transaction(async (manager) => {
      await manager.sql`
        UPDATE events_outbox SET scheduled_at = ${() => sql.after(700)} WHERE event_id = ${eventId}`;
      return manager.sql<[{ due: string }]>`
        SELECT ${() => sql.iso('scheduled_at')} AS due FROM events_outbox WHERE event_id = ${eventId}`;
    });
    await delayed;
    expect(handled).toEqual([2, 1]);
    const [{ relayed }] = await app.dataSource.sql<[{ relayed: string }]>`
      SELECT ${() => sql.iso('relayed_at')} AS relayed FROM events_log WHERE event_id = ${eventId}`;
    expect(relayed >= due).toBe(true);
    expect(Date.parse(relayed)).toBeLessThan(Date.parse(due) + 5_000);
    expect(await readPositions(app.dataSource, namespace)).toEqual([1, 2]);
    expect(await readDeliveries(app.dataSource, namespace)).toHaveLength(2);
  });
});
