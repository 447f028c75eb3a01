import { describe, expect, it } from 'vitest';
import type { DeliveryRef, FailedAttempt } from '../../lib/store/event-store.js';
import { withDeliveries, type Bus, type ContractContext } from './contract-context.js';

const RESCUE_AFTER_MS = 60_000;
const ref = (position: number, handler = 'mails', epoch = 0): DeliveryRef => ({
  position,
  handler,
  epoch,
});
const failed = (attempt: number, overrides: Partial<FailedAttempt> = {}): FailedAttempt => ({
  ...ref(1),
  attempt,
  error: `attempt ${attempt} failed`,
  dead: false,
  retryInMs: 1_000,
  ...overrides,
});

export function describeMarks(context: ContractContext): void {
  const COLUMNS = [
    'position',
    'status',
    'attempts',
    'last_error',
    'rescue_at',
    'completed_at',
    'dead_at',
  ] as const;
  /** One delivery's row; times as whether they are set. */
  const row = async ({ namespace }: Bus, asked = 1) => {
    const rows = await context.rows.select('deliveries', namespace, COLUMNS);
    const found = rows.find(({ position }) => position === `${asked}`);
    const { rescue_at: rescue, completed_at: completed, dead_at: dead } = found!;
    const { status, attempts, last_error } = found!;
    return {
      status,
      attempts,
      last_error,
      completed: completed !== null,
      dead: dead !== null,
      rescueInMs: rescue === null ? null : Date.parse(rescue) - (await context.rows.now()),
    };
  };
  const setEpoch = ({ namespace }: Bus, epoch: number) =>
    context.rows.update('deliveries', namespace, { epoch });

  describe('complete', () => {
    it('marks a queued delivery once, and counts its attempt', async () => {
      const bus = await withDeliveries(context);
      expect(await bus.store.complete([ref(1)])).toEqual([true]);
      expect(await bus.store.complete([ref(1)])).toEqual([false]);
      expect(await row(bus)).toEqual({
        status: 'completed',
        attempts: '1',
        last_error: null,
        completed: true,
        dead: false,
        rescueInMs: null,
      });
    });

    it('answers in the order asked, whatever becomes of each', async () => {
      const bus = await withDeliveries(context, { count: 4 });
      await bus.store.complete([ref(2)]);
      const asked = [ref(4), ref(99), ref(2), ref(1), ref(3, 'mails', 1), ref(3, 'unknown')];
      expect(await bus.store.complete(asked)).toEqual([true, false, false, true, false, false]);
      const states = await bus.store.deliveryStates([ref(1), ref(2), ref(3), ref(4)]);
      expect(states.map((state) => state?.status)).toEqual([
        'completed',
        'completed',
        'queued',
        'completed',
      ]);
    });

    it('is fenced by the epoch: a job of an earlier one marks nothing', async () => {
      const bus = await withDeliveries(context);
      await setEpoch(bus, 1);
      expect(await bus.store.complete([ref(1)])).toEqual([false]);
      expect(await bus.store.complete([ref(1, 'mails', 2)])).toEqual([false]);
      expect(await bus.store.complete([ref(1, 'mails', 1)])).toEqual([true]);
    });

    it('marks hundreds at once', async () => {
      const bus = await withDeliveries(context, { count: 500 });
      const refs = Array.from({ length: 500 }, (_, index) => ref(500 - index));
      expect(new Set(await bus.store.complete(refs))).toEqual(new Set([true]));
      expect(new Set(await bus.store.complete(refs))).toEqual(new Set([false]));
    });

    it('says yes once where a delivery is named twice, in one call or in many', async () => {
      const bus = await withDeliveries(context, { count: 20 });
      const inOne = await bus.store.complete([ref(1), ref(1)]);
      expect(inOne.filter(Boolean)).toHaveLength(1);
      const refs = Array.from({ length: 19 }, (_, index) => ref(index + 2));
      const results = await Promise.all(
        Array.from({ length: 5 }, (_, index) =>
          context.peer(bus).complete(index % 2 === 0 ? refs : refs.toReversed()),
        ),
      );
      expect(results.flat().filter(Boolean)).toHaveLength(19);
      expect(await row(bus, 2)).toMatchObject({ attempts: '1' });
    });

    context.needing('transactions')('goes with the given transaction', async () => {
      const bus = await withDeliveries(context);
      await context.withRunner(async (runner) => {
        expect(await bus.store.complete([ref(1)], runner)).toEqual([true]);
        expect(await bus.store.complete([ref(1)], runner)).toEqual([false]);
        await runner.rollbackTransaction();
      });
      expect(await row(bus)).toMatchObject({ status: 'queued', attempts: '0' });
      await context.withRunner(async (runner) => {
        await bus.store.complete([ref(1)], runner);
        await runner.commitTransaction();
      });
      expect(await row(bus)).toMatchObject({ status: 'completed', attempts: '1' });
    });

    context.needing('connections')(
      'D8: refuses a second run of the same job while the first one’s transaction is open',
      async () => {
        const bus = await withDeliveries(context);
        await context.withRunner(async (first) => {
          await bus.store.complete([ref(1)], first);
          await context.withRunner(async (second) => {
            const refused: unknown = await bus.store
              .complete([ref(1)], second)
              .catch((error: unknown) => error);
            expect(bus.store.isInfrastructureError(refused)).toBe(true);
            // The session's own statements wait for locks as before.
            await second.rollbackTransaction();
            await second.startTransaction();
            const session = await context.sessionOf(second);
            const own = second.query(
              `UPDATE events_deliveries SET epoch = epoch
                WHERE namespace = '${bus.namespace}' AND position = 1`,
            );
            await context.untilWaiting(session);
            await first.rollbackTransaction();
            await own;
          });
        });
        expect(await bus.store.complete([ref(1)])).toEqual([true]);
      },
    );
  });

  describe('fail', () => {
    it('records an attempt and keeps the delivery queued until its retry and the rescue', async () => {
      const bus = await withDeliveries(context);
      const attempt = failed(1, { retryInMs: 30_000 });
      expect(await bus.store.fail([attempt], RESCUE_AFTER_MS)).toEqual([true]);
      const { rescueInMs, ...rest } = await row(bus);
      expect(rest).toEqual({
        status: 'queued',
        attempts: '1',
        last_error: 'attempt 1 failed',
        completed: false,
        dead: false,
      });
      expect(rescueInMs).toBeGreaterThan(85_000);
      expect(rescueInMs).toBeLessThanOrEqual(90_000);
    });

    it('counts an attempt once, however often it is recorded', async () => {
      const bus = await withDeliveries(context);
      for (let times = 0; times < 3; times++) {
        expect(await bus.store.fail([failed(1)], RESCUE_AFTER_MS)).toEqual([true]);
      }
      expect(await row(bus)).toMatchObject({ attempts: '1' });
      expect(await bus.store.fail([failed(2)], RESCUE_AFTER_MS)).toEqual([true]);
      expect(await bus.store.fail([failed(1)], RESCUE_AFTER_MS)).toEqual([false]);
      expect(await bus.store.fail([failed(4)], RESCUE_AFTER_MS)).toEqual([false]);
      expect(await row(bus)).toMatchObject({ attempts: '2', last_error: 'attempt 2 failed' });
    });

    it('makes a dead letter of a delivery without further attempts, for good', async () => {
      const bus = await withDeliveries(context);
      const last = failed(1, { dead: true, retryInMs: 0 });
      expect(await bus.store.fail([last], RESCUE_AFTER_MS)).toEqual([true]);
      expect(await row(bus)).toEqual({
        status: 'dead',
        attempts: '1',
        last_error: 'attempt 1 failed',
        completed: false,
        dead: true,
        rescueInMs: null,
      });
      expect(await bus.store.fail([failed(2)], RESCUE_AFTER_MS)).toEqual([false]);
      expect(await bus.store.complete([ref(1)])).toEqual([false]);
    });

    it('is fenced by state and epoch, each delivery for itself', async () => {
      const bus = await withDeliveries(context, { count: 4 });
      await bus.store.complete([ref(1)]);
      const results = await bus.store.fail(
        [
          failed(1),
          failed(1, { ...ref(4), dead: true }),
          failed(1, ref(2, 'mails', 1)),
          failed(1, ref(99)),
          failed(1, ref(3)),
        ],
        RESCUE_AFTER_MS,
      );
      expect(results).toEqual([false, true, false, false, true]);
      const states = await bus.store.deliveryStates([1, 2, 3, 4].map((position) => ref(position)));
      expect(states.map((state) => [state?.status, state?.attempts])).toEqual([
        ['completed', 1],
        ['queued', 0],
        ['queued', 1],
        ['dead', 1],
      ]);
    });

    it('keeps error texts of any content and length', async () => {
      const bus = await withDeliveries(context, { count: 3 });
      const texts = [
        `Error: 'quoted' "twice" \\ back\\slash ? :name $1 %s\n\tat somewhere 😀 ä`,
        '',
        'long 😀 '.repeat(10_000),
      ];
      const attempts = texts.map((error, index) => failed(1, { ...ref(index + 1), error }));
      await bus.store.fail(attempts, RESCUE_AFTER_MS);
      for (const [index, error] of texts.entries()) {
        const record = await bus.store.eventById(bus.events[index]!.eventId);
        expect(record?.deliveries[0]?.lastError).toBe(error);
      }
    });

    it('a failure and a completion at once: one of them holds', async () => {
      const bus = await withDeliveries(context, { count: 20 });
      const refs = Array.from({ length: 20 }, (_, index) => ref(index + 1));
      const [completed, failures] = await Promise.all([
        context.peer(bus).complete(refs),
        context.peer(bus).fail(
          refs.toReversed().map((each) => failed(1, { ...each, dead: true })),
          RESCUE_AFTER_MS,
        ),
      ]);
      const both = completed.map((done, index) => [done, failures.toReversed()[index]]);
      for (const pair of both) expect(pair.filter(Boolean)).toHaveLength(1);
    });
  });

  describe('deliveryStates', () => {
    it('come in the order asked, undefined for what does not exist', async () => {
      const bus = await withDeliveries(context, { count: 2, handlers: ['a', 'b'] });
      const asked = [ref(2, 'b'), ref(1, 'c'), ref(1, 'a'), ref(3, 'a'), ref(2, 'b')];
      const states = await bus.store.deliveryStates(asked);
      const [one, two] = bus.events.map(({ eventId }) => eventId);
      const queued = { status: 'queued', chunk: null, attempts: 0, maxAttempts: 5 };
      expect(states).toEqual([
        { ...ref(2, 'b'), eventId: two, ...queued },
        undefined,
        { ...ref(1, 'a'), eventId: one, ...queued },
        undefined,
        { ...ref(2, 'b'), eventId: two, ...queued },
      ]);
    });

    it('tell the database’s epoch, whichever was asked for', async () => {
      const bus = await withDeliveries(context);
      await setEpoch(bus, 3);
      expect(await bus.store.deliveryStates([ref(1)])).toMatchObject([{ epoch: 3 }]);
    });
  });
}
