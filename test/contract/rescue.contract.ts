import { describe, expect, it } from 'vitest';
import type { RescuedBatch } from '../../lib/store/event-store.js';
import { withDeliveries, type Bus, type ContractContext } from './contract-context.js';

const LIMITS = { batchSize: 10, rescueAfterMs: 60_000 };
const HOUR_MS = 3_600_000;

const taken = async (batch: Promise<RescuedBatch>) => (await batch).deliveries;

export function describeRescue(context: ContractContext): void {
  /** As if all deliveries had been queued so long ago, and their rescue were due since `dueMs`. */
  const age = ({ namespace }: Bus, queuedMs: number, dueMs = 1) =>
    context.rows.update('deliveries', namespace, {
      queued_at: { agoMs: queuedMs },
      rescue_at: { agoMs: dueMs },
    });
  /** Of the first delivery. */
  const postponedByMs = async ({ namespace }: Bus): Promise<number> => {
    const [row] = await context.rows.select('deliveries', namespace, ['rescue_at']);
    return Date.parse(row!.rescue_at!) - (await context.rows.now());
  };

  describe('rescue', () => {
    it('takes queued deliveries whose time has passed, with their events', async () => {
      const bus = await withDeliveries(context, { count: 2, handlers: ['a', 'b'] });
      expect(await taken(bus.store.rescue(LIMITS))).toEqual([]);
      await bus.store.complete([{ position: 1, handler: 'b', epoch: 0 }]);
      await age(bus, 60_000);
      const rescued = await taken(bus.store.rescue(LIMITS));
      expect(rescued.toSorted((x, y) => x.position - y.position)).toEqual(
        expect.arrayContaining([
          { position: 1, handler: 'a', epoch: 0, chunk: null, event: bus.events[0] },
          { position: 2, handler: 'a', epoch: 0, chunk: null, event: bus.events[1] },
          { position: 2, handler: 'b', epoch: 0, chunk: null, event: bus.events[1] },
        ]),
      );
    });

    it('takes a bounded number, the longest overdue first, and each once', async () => {
      const bus = await withDeliveries(context, { count: 25 });
      await age(bus, 60_000);
      const first = await taken(bus.store.rescue({ ...LIMITS, batchSize: 10 }));
      const second = await taken(bus.store.rescue({ ...LIMITS, batchSize: 10 }));
      const third = await taken(bus.store.rescue({ ...LIMITS, batchSize: 10 }));
      expect([first.length, second.length, third.length]).toEqual([10, 10, 5]);
      const positions = [...first, ...second, ...third].map(({ position }) => position);
      expect(new Set(positions).size).toBe(25);
      expect(await taken(bus.store.rescue(LIMITS))).toEqual([]);
    });

    it('says that a batch was full also where the log has lost its events', async () => {
      const bus = await withDeliveries(context, { count: 15 });
      await age(bus, 60_000);
      const lost = Array.from({ length: 14 }, (_, index) => index + 1);
      await context.rows.remove('log', bus.namespace, { position: lost });
      const batches = [await bus.store.rescue(LIMITS), await bus.store.rescue(LIMITS)];
      expect(batches.map(({ full }) => full)).toEqual([true, false]);
      expect(batches.flatMap(({ deliveries }) => deliveries)).toMatchObject([{ position: 15 }]);
      const positions = batches.flatMap((batch) => batch.lost.map(({ position }) => position));
      expect(positions.toSorted((a, b) => a - b)).toEqual(lost);
    });

    it.each([
      ['at least the configured time', 10_000, LIMITS.rescueAfterMs],
      ['as long as it has waited', 1_800_000, 1_800_000],
      ['at most an hour', 10 * HOUR_MS, HOUR_MS],
    ])('postpones the next look by %s', async (_how, queuedMs, postponedMs) => {
      const bus = await withDeliveries(context);
      await age(bus, queuedMs);
      expect(await taken(bus.store.rescue(LIMITS))).toHaveLength(1);
      const by = await postponedByMs(bus);
      expect(by).toBeGreaterThan(postponedMs - 5_000);
      expect(by).toBeLessThan(postponedMs + 5_000);
    });

    it('C20: two sweeps at once never take the same delivery, and none is left', async () => {
      const bus = await withDeliveries(context, { count: 40 });
      await age(bus, 60_000);
      const sweep = async () => {
        const positions: number[] = [];
        const store = context.peer(bus);
        for (let pass = 0; pass < 20; pass++) {
          const rescued = await taken(store.rescue({ ...LIMITS, batchSize: 5 }));
          positions.push(...rescued.map(({ position }) => position));
        }
        return positions;
      };
      const swept = (await Promise.all([sweep(), sweep(), sweep()])).flat();
      expect(swept.toSorted((a, b) => a - b)).toEqual(
        Array.from({ length: 40 }, (_, index) => index + 1),
      );
    });

    context.needing('connections')(
      'passes over what another transaction has in its hands',
      async () => {
        const bus = await withDeliveries(context, { count: 3 });
        await age(bus, 60_000);
        await context.withRunner(async (runner) => {
          await bus.store.complete([{ position: 2, handler: 'mails', epoch: 0 }], runner);
          const rescued = await taken(bus.store.rescue(LIMITS));
          expect(rescued.map(({ position }) => position).toSorted((a, b) => a - b)).toEqual([1, 3]);
        });
        expect(await taken(bus.store.rescue(LIMITS))).toMatchObject([{ position: 2 }]);
      },
    );

    it('gives back what could not be pushed, unless it is done or of another epoch', async () => {
      const bus = await withDeliveries(context, { count: 3 });
      await age(bus, HOUR_MS);
      const lost = await taken(bus.store.rescue(LIMITS));
      await bus.store.complete([{ position: 2, handler: 'mails', epoch: 0 }]);
      await context.rows.update('deliveries', bus.namespace, { epoch: 1 }, { position: 3 });
      await bus.store.unrescue(lost, 0);
      expect(await taken(bus.store.rescue(LIMITS))).toMatchObject([{ position: 1 }]);
    });
  });
}
