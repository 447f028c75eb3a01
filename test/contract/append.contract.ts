import { describe, expect, it } from 'vitest';
import { appendMany, record, type Bus, type ContractContext } from './contract-context.js';

/** More than one INSERT can hold. */
const MANY = 5_000;

export function describeAppend(context: ContractContext): void {
  const outbox = async ({ namespace }: Bus): Promise<(string | null)[]> => {
    const rows = await context.rows.select('outbox', namespace, ['event_id']);
    return rows.map(({ event_id }) => event_id);
  };

  const inTransactions = context.needing('transactions');
  const betweenConnections = context.needing('connections');

  describe('append', () => {
    betweenConnections('writes through the given transaction: seen after its commit', async () => {
      const bus = await context.bus();
      const event = record();
      await context.withRunner(async (runner) => {
        expect(await bus.store.append([event], runner)).toEqual([
          { eventId: event.eventId, duplicate: false },
        ]);
        expect(await outbox(bus)).toEqual([]);
        expect(await bus.store.isTransactionFailed(runner)).toBe(false);
        await runner.commitTransaction();
      });
      expect(await outbox(bus)).toEqual([event.eventId]);
    });

    inTransactions('leaves nothing of a transaction that is rolled back', async () => {
      const bus = await context.bus();
      const event = record({ idempotencyKey: 'once' });
      await context.withRunner(async (runner) => {
        await bus.store.append([event], runner);
        await runner.rollbackTransaction();
      });
      expect(await outbox(bus)).toEqual([]);
      const [again] = await bus.store.append([event]);
      expect(again).toEqual({ eventId: event.eventId, duplicate: false });
    });

    inTransactions(
      'leaves nothing of a savepoint that is rolled back, and what was before and after',
      async () => {
        const bus = await context.bus();
        const [before, inside, after] = [
          record(),
          record({ idempotencyKey: 'inside' }),
          record({ idempotencyKey: 'inside' }),
        ];
        await context.withRunner(async (runner) => {
          await bus.store.append([before], runner);
          await runner.startTransaction();
          await bus.store.append([inside], runner);
          await runner.rollbackTransaction();
          const [result] = await bus.store.append([after], runner);
          expect(result).toEqual({ eventId: after.eventId, duplicate: false });
          await runner.commitTransaction();
        });
        expect(await outbox(bus)).toEqual([before.eventId, after.eventId]);
      },
    );

    inTransactions('keeps what was in a savepoint that is released', async () => {
      const bus = await context.bus();
      const event = record();
      await context.withRunner(async (runner) => {
        await runner.startTransaction();
        await bus.store.append([event], runner);
        await runner.commitTransaction();
        await runner.commitTransaction();
      });
      expect(await outbox(bus)).toEqual([event.eventId]);
    });

    it('needs no transaction of the caller’s', async () => {
      const bus = await context.bus();
      const event = record();
      await bus.store.append([event]);
      expect(await outbox(bus)).toEqual([event.eventId]);
    });

    it('keeps the order of many, in as many statements as they need', async () => {
      const bus = await context.bus();
      const ids = await appendMany(bus.store, MANY);
      expect(await outbox(bus)).toEqual(ids);
    });

    context.needing('refusals')(
      'writes all or none: a row that the database refuses takes the others with it',
      async () => {
        const bus = await context.bus();
        const records = Array.from({ length: MANY }, () => record({ idempotencyKey: null }));
        records.push(record({ version: 2 ** 40 }));
        await expect(bus.store.append(records)).rejects.toThrow(
          /out of range|CHECK constraint failed/i,
        );
        expect(await outbox(bus)).toEqual([]);
      },
    );

    it('does nothing for an empty list', async () => {
      const bus = await context.bus();
      expect(await bus.store.append([])).toEqual([]);
    });
  });

  describe('idempotency keys', () => {
    it('give the second event’s caller the first one’s id, and write nothing', async () => {
      const bus = await context.bus();
      const [first, second] = [record({ idempotencyKey: 'k' }), record({ idempotencyKey: 'k' })];
      await bus.store.append([first]);
      expect(await bus.store.append([second])).toEqual([
        { eventId: first.eventId, duplicate: true },
      ]);
      expect(await outbox(bus)).toEqual([first.eventId]);
    });

    it('count within one call too, among others with and without keys', async () => {
      const bus = await context.bus();
      const records = [
        record({ idempotencyKey: 'b' }),
        record(),
        record({ idempotencyKey: 'a' }),
        record({ idempotencyKey: 'b' }),
      ];
      const [b, none, a] = records.map(({ eventId }) => eventId);
      expect(await bus.store.append(records)).toEqual([
        { eventId: b, duplicate: false },
        { eventId: none, duplicate: false },
        { eventId: a, duplicate: false },
        { eventId: b, duplicate: true },
      ]);
      expect(await outbox(bus)).toEqual([b, none, a]);
    });

    it('are each namespace’s own', async () => {
      const [one, other] = [await context.bus(), await context.bus()];
      const event = record({ idempotencyKey: 'k' });
      await one.store.append([event]);
      const [result] = await other.store.append([record({ idempotencyKey: 'k' })]);
      expect(result?.duplicate).toBe(false);
    });

    for (const committed of [true, false]) {
      const outcome = committed ? 'commits' : 'rolls back';
      betweenConnections(`make a concurrent transaction wait: the first ${outcome}`, async () => {
        const bus = await context.bus();
        const [first, second] = [record({ idempotencyKey: 'k' }), record({ idempotencyKey: 'k' })];
        await context.withRunner(async (one) => {
          await bus.store.append([first], one);
          await context.withRunner(async (two) => {
            const session = await context.sessionOf(two);
            const late = bus.store.append([second], two);
            await context.untilWaiting(session);
            await (committed ? one.commitTransaction() : one.rollbackTransaction());
            expect(await late).toEqual([
              { eventId: (committed ? first : second).eventId, duplicate: committed },
            ]);
            await two.commitTransaction();
          });
        });
        expect(await outbox(bus)).toEqual([(committed ? first : second).eventId]);
      });
    }

    betweenConnections(
      'hold for a transaction whose view of the database is older than the key',
      async () => {
        const bus = await context.bus();
        const [first, second] = [record({ idempotencyKey: 'k' }), record({ idempotencyKey: 'k' })];
        const dataSource = await context.connect({ isolation: 'REPEATABLE READ' });
        const runner = dataSource.createQueryRunner();
        await runner.startTransaction('REPEATABLE READ');
        await runner.query('SELECT count(*) FROM events_outbox');
        await bus.store.append([first]);
        // It may know the key, or be told to start again; a second event it may not write.
        const known = [{ eventId: first.eventId, duplicate: true }];
        const outcome = await bus.store
          .append([second], runner)
          .catch((error: unknown) => (bus.store.isInfrastructureError(error) ? known : error));
        await runner.rollbackTransaction();
        await runner.release();
        expect(outcome).toEqual(known);
      },
    );

    it('are taken in one order: calls with the same keys don’t deadlock', async () => {
      const bus = await context.bus();
      const keys = Array.from({ length: 20 }, (_, index) => `k${index}`);
      const append = (own: string[]) =>
        bus.store.append(own.map((idempotencyKey) => record({ idempotencyKey })));
      const results = await Promise.all(
        Array.from({ length: 6 }, (_, index) => append(index % 2 === 0 ? keys : keys.toReversed())),
      );
      const written = results.flat().filter(({ duplicate }) => !duplicate);
      expect(written.length).toBe(keys.length);
      expect(new Set(await outbox(bus))).toEqual(new Set(written.map(({ eventId }) => eventId)));
    });
  });
}
