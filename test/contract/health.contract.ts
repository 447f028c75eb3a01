import { describe, expect, it } from 'vitest';
import {
  appendMany,
  handler,
  record,
  relayOnce,
  withDeliveries,
  type ContractContext,
} from './contract-context.js';

export function describeHealth(context: ContractContext): void {
  describe('figures', () => {
    it('of a fresh namespace are 0', async () => {
      const { health } = (await context.bus()).stores;
      expect(await health.figures(100)).toEqual({
        delivered: 0,
        unhandled: 0,
        completed: 0,
        discarded: 0,
        dead: 0,
        queued: 0,
        oldestQueuedMs: null,
        outboxDue: 0,
        oldestDueMs: null,
        outboxScheduled: 0,
        lastPosition: 0,
        wipes: 0,
        wipedAt: null,
      });
    });

    it('tell what events owe by their subscriptions, and those that nobody takes', async () => {
      const { store, stores, namespace } = await context.bus();
      await store.registerHandlers([
        handler('both', { events: ['order.placed', 'order.paid'] }),
        handler('twice', { events: ['order.placed', 'order.placed'] }),
      ]);
      await appendMany(store, 2);
      await store.append([record({ name: 'order.paid' }), record({ name: 'order.unheard' })]);
      await relayOnce(store);
      await store.append([record({ name: 'order.unheard' })]);
      await relayOnce(store);
      const owed = { delivered: 5, unhandled: 2, lastPosition: 5 };
      expect(await stores.health.figures(100)).toMatchObject({ ...owed, queued: 5 });
      await context.rows.remove('deliveries', namespace, { position: 1 });
      expect(await stores.health.figures(100)).toMatchObject({ ...owed, queued: 3 });
    });

    it('count up to the limit, and know the oldest of all, also after a rescue put it off', async () => {
      const { store, stores, namespace } = await withDeliveries(context, { count: 6 });
      const old = { queued_at: { agoMs: 50_000 }, rescue_at: { agoMs: 1 } };
      await context.rows.update('deliveries', namespace, old, { position: 4 });
      const { deliveries } = await store.rescue({ batchSize: 10, rescueAfterMs: 60_000 });
      expect(deliveries).toHaveLength(1);
      const { queued, oldestQueuedMs } = await stores.health.figures(2);
      expect(queued).toBe(2);
      expect(oldestQueuedMs).toBeGreaterThanOrEqual(50_000);
      expect(oldestQueuedMs).toBeLessThan(80_000);
      await store.complete([{ position: 4, handler: 'mails', epoch: 0 }]);
      const left = await stores.health.figures(100);
      expect(left).toMatchObject({ queued: 5, completed: 1, delivered: 6 });
      expect(left.oldestQueuedMs).toBeLessThan(40_000);
    });
  });
}
