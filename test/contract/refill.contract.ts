import { describe, expect, it } from 'vitest';
import type { EventStore } from '../../lib/store/event-store.js';
import { withDeliveries, type Bus, type ContractContext } from './contract-context.js';

const RETRY = { epoch: 0, attempt: 1, error: 'not yet', dead: false, retryInMs: 0 };

export function describeRefill(context: ContractContext): void {
  /** Position `n` is to be rescued in `n` hours: read in this order, and behind any new attempt. */
  const spread = async ({ namespace }: Bus, count: number) => {
    for (let position = 1; position <= count; position++) {
      const rescue_at = { agoMs: -position * 3_600_000 };
      await context.rows.update('deliveries', namespace, { rescue_at }, { position });
    }
  };

  /** Positions in the order read; `between` is called after the first page. */
  async function readAll(
    store: EventStore,
    limit: number,
    between: () => Promise<unknown> = async () => undefined,
  ): Promise<number[]> {
    const positions: number[] = [];
    let from: string | undefined;
    for (let page = 1; page <= 20; page++) {
      const { deliveries, next } = await store.queuedDeliveries(limit, from);
      positions.push(...deliveries.map(({ position }) => position));
      if (next === undefined) return positions;
      if (page === 1) await between();
      from = next;
    }
    throw new Error(`no end after 20 pages: ${positions.join(', ')}`);
  }

  describe('what a wiped queue must hold again', () => {
    it('D5: is read page by page, each delivery once, also those due at one time', async () => {
      const bus = await withDeliveries(context, { count: 5, handlers: ['a', 'b'] });
      const positions = await readAll(bus.store, 3);
      expect(positions.toSorted((a, b) => a - b)).toEqual([1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
      expect(await readAll(bus.store, 10)).toHaveLength(10);
      expect(await readAll((await context.bus()).store, 10)).toEqual([]);
    });

    it('D5: is read to the end where the log has lost an event', async () => {
      const bus = await withDeliveries(context, { count: 6 });
      await spread(bus, 6);
      await context.rows.remove('log', bus.namespace, { position: [1, 3, 4] });
      expect(await readAll(bus.store, 2)).toEqual([2, 5, 6]);
    });

    it('D5: comes to an end with a delivery that has no time of rescue', async () => {
      const bus = await withDeliveries(context, { count: 2 });
      const { namespace } = bus;
      await context.rows.update('deliveries', namespace, { rescue_at: null }, { position: 2 });
      expect(await readAll(bus.store, 2)).toEqual([1]);
    });

    it('D5: holds a delivery whose attempt failed meanwhile, so that it comes sooner', async () => {
      const bus = await withDeliveries(context, { count: 6 });
      await spread(bus, 6);
      const positions = await readAll(bus.store, 2, () =>
        bus.store.fail([{ ...RETRY, position: 6, handler: 'mails' }], 1_000),
      );
      expect(positions).toEqual([1, 2, 3, 4, 5, 6]);
    });

    it('leaves out what is queued after the first page', async () => {
      const bus = await withDeliveries(context, { count: 3 });
      await spread(bus, 3);
      const positions = await readAll(bus.store, 2, () =>
        context.rows.update(
          'deliveries',
          bus.namespace,
          { queued_at: { agoMs: -1_000 } },
          { position: 3 },
        ),
      );
      expect(positions).toEqual([1, 2]);
    });
  });

  describe('the generation of the queue', () => {
    it('D5: is changed by one of several that expect the same one', async () => {
      const { store } = await context.bus();
      expect(await store.queueGeneration()).toBeUndefined();
      expect(await store.changeQueueGeneration(undefined, 'one', false)).toBe(true);
      const changes = ['two', 'three', 'four'].map((to) =>
        store.changeQueueGeneration('one', to, true),
      );
      const changed = await Promise.all(changes);
      expect(changed.filter(Boolean)).toHaveLength(1);
      const won = ['two', 'three', 'four'][changed.indexOf(true)];
      expect(await store.queueGeneration()).toBe(won);
    });
  });
}
