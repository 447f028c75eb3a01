import { describe, expect, it } from 'vitest';
import { handler, type Bus, type ContractContext } from './contract-context.js';

const byId = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1);

export function describeHandlers(context: ContractContext): void {
  const seen = async ({ namespace }: Bus) => {
    const columns = ['id', 'first_seen_at', 'last_seen_at', 'retired_at'] as const;
    const rows = await context.rows.select('handlers', namespace, columns);
    return rows.map(({ id, first_seen_at: first, last_seen_at: last, retired_at: retired }) => ({
      id,
      first,
      last,
      retired,
    }));
  };
  const MINUTE_AGO = { agoMs: 60_000 };
  const backdate = ({ namespace }: Bus) =>
    context.rows.update('handlers', namespace, {
      first_seen_at: MINUTE_AGO,
      last_seen_at: MINUTE_AGO,
    });
  const retire = ({ namespace }: Bus) =>
    context.rows.update('handlers', namespace, { retired_at: MINUTE_AGO });

  describe('registerHandlers', () => {
    it('adds handlers as they are', async () => {
      const { store } = await context.bus();
      const list = [
        handler('Mails.onOrder$placed', { events: [], aliases: ['Old.one', 'older'] }),
        handler('b', { queue: 'mail', maxAttempts: 1, priority: 2_097_151, transactional: true }),
        handler('a', { events: ['order.placed', 'order:paid/v2'] }),
        handler('limited', { perJob: 1 }),
        handler('batches', { batchSize: 100 }),
      ];
      await store.registerHandlers(list);
      expect((await store.handlers()).toSorted(byId)).toEqual(list.toSorted(byId));
      expect(await (await context.bus()).store.handlers()).toEqual([]);
    });

    it('does nothing for an empty list', async () => {
      const { store } = await context.bus();
      await store.registerHandlers([]);
      expect(await store.handlers()).toEqual([]);
    });

    it('updates one that is there, keeps when it was first seen, and brings a retired one back', async () => {
      const bus = await context.bus();
      await bus.store.registerHandlers([handler('a', { events: ['x'] })]);
      await backdate(bus);
      await retire(bus);
      const [before] = await seen(bus);
      const changed = handler('a', { queue: 'other', events: ['x'], maxAttempts: 9 });
      await bus.store.registerHandlers([changed]);
      const [after] = await seen(bus);
      expect(after).toMatchObject({ first: before!.first, retired: null });
      expect(Date.parse(after!.last!)).toBeGreaterThan(Date.parse(before!.last!) + 50_000);
      expect(await bus.store.handlers()).toEqual([changed]);
    });

    it('during a deployment a handler takes what any process says that it takes', async () => {
      const { store } = await context.bus();
      const [older, newer] = [
        handler('a', { events: ['x'] }),
        handler('a', { events: ['y', 'x'] }),
      ];
      await store.registerHandlers([newer]);
      // An old process boots again, and says for a while that it is there.
      await store.registerHandlers([older]);
      await store.renewHandlers([older]);
      expect(await store.handlers()).toEqual([{ ...newer, events: ['x', 'y'] }]);
      expect((await store.handlerRecords())[0]?.events).toEqual(['x', 'y']);
    });

    it('of a handler and its former id, the new one gets deliveries, whoever boots last', async () => {
      const { store } = await context.bus();
      const renamed = handler('new', { aliases: ['old', 'never'] });
      await store.registerHandlers([handler('old')]);
      await store.registerHandlers([renamed]);
      expect(await store.handlers()).toEqual([renamed]);
      await store.registerHandlers([handler('old')]);
      expect(await store.handlers()).toEqual([renamed]);
    });

    it('many processes that boot at once don’t get into each other’s way', async () => {
      const bus = await context.bus();
      const list = Array.from({ length: 30 }, (_, index) =>
        handler(`handler.${String(index).padStart(2, '0')}`),
      );
      await Promise.all(
        Array.from({ length: 8 }, async (_, index) => {
          const store = context.peer(bus);
          const own = index % 2 === 0 ? list : list.toReversed();
          await store.registerHandlers(own.slice(0, 20 + index));
          await store.renewHandlers(own);
        }),
      );
      expect(await bus.store.handlers()).toEqual(list);
    });
  });

  describe('renewHandlers', () => {
    it('renews when they were last seen, and says again what they are', async () => {
      const bus = await context.bus();
      const list = [handler('a'), handler('b')];
      await bus.store.registerHandlers(list);
      await backdate(bus);
      const [before, untouched] = await seen(bus);
      const again = handler('a', { queue: 'other', perJob: 7 });
      await bus.store.renewHandlers([again]);
      const [a, b] = await seen(bus);
      expect(a?.first).toBe(before?.first);
      expect(Date.parse(a!.last!)).toBeGreaterThan(Date.parse(before!.last!) + 50_000);
      expect(b?.last).toBe(untouched?.last);
      expect(await bus.store.handlers()).toEqual([again, list[1]]);
    });

    it('adds one that somebody deleted, and leaves a retired one retired', async () => {
      const bus = await context.bus();
      await bus.store.registerHandlers([handler('deleted'), handler('retired')]);
      await context.rows.remove('handlers', bus.namespace, { id: 'deleted' });
      await retire(bus);
      await bus.store.renewHandlers([handler('retired'), handler('deleted')]);
      expect((await bus.store.handlers()).map(({ id }) => id)).toEqual(['deleted']);
    });
  });

  describe('handlers', () => {
    context.needing('transactions')('reads through a given transaction’s connection', async () => {
      const { store } = await context.bus();
      await store.registerHandlers([handler('a')]);
      await context.withRunner(async (runner) => {
        expect(await store.handlers(runner)).toEqual([handler('a')]);
      });
    });
  });
}
