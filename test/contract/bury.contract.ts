import { describe, expect, it } from 'vitest';
import { handler, withDeliveries, type ContractContext } from './contract-context.js';
import { OPERATION } from './operations.contract.js';

export function describeBury(context: ContractContext): void {
  /** Retired, with deliveries that wait. */
  const retired = async (count: number) => {
    const bus = await withDeliveries(context, { count, handlers: ['gone', 'stays'] });
    await bus.store.retireHandler('gone');
    const id = await bus.stores.operations.start(OPERATION);
    const bury = (limit: number, from?: string) =>
      bus.stores.deadLetters.bury(id, ['gone'], 'was retired', { limit, from });
    return { ...bus, id, bury };
  };

  describe('bury', () => {
    it('makes what waits for a retired handler dead, each batch where one ended', async () => {
      const { bury, stores, id } = await retired(5);
      const first = await bury(2);
      const second = await bury(2, first.next);
      const third = await bury(2, second.next);
      expect([first, second, third].map(({ affected }) => affected)).toEqual([2, 2, 1]);
      expect(third).toMatchObject({ next: undefined, passedOver: false });
      const dead = await stores.deadLetters.list({}, 10);
      expect(dead.map(({ handler: of, lastError }) => `${of} ${lastError}`)).toEqual(
        Array.from({ length: 5 }, () => 'gone was retired'),
      );
      expect((await stores.operations.end(id)).affected).toBe(5);
      expect(await stores.health.figures(100)).toMatchObject({ dead: 5, queued: 5 });
    });

    it('B3: leaves them once the handler is back, or another one has its id as an alias', async () => {
      const { bury, store } = await retired(6);
      const { next } = await bury(2);
      await store.registerHandlers([handler('gone')]);
      expect(await bury(2, next)).toEqual({ affected: 0, next: undefined });
      await store.retireHandler('gone');
      await store.registerHandlers([handler('new', { aliases: ['gone'] })]);
      expect(await bury(2, next)).toEqual({ affected: 0, next: undefined });
      await store.retireHandler('new');
      expect(await bury(2, next)).toMatchObject({ affected: 2 });
    });

    context.needing('connections')(
      'B4: waits for no delivery that a handler has locked, and says that it was passed over',
      async () => {
        const { bury, store } = await retired(5);
        await context.withRunner(async (runner) => {
          const running = { position: 3, handler: 'gone', epoch: 0 };
          expect(await store.complete([running], runner)).toEqual([true]);
          expect(await bury(10)).toEqual({ affected: 4, next: undefined, passedOver: true });
          await runner.rollbackTransaction();
        });
        expect(await bury(10)).toEqual({ affected: 1, next: undefined, passedOver: false });
      },
    );

    it('B4: no deadlock with completions, which lock by primary key', async () => {
      const { bury, store, events, namespace } = await retired(120);
      // Their age is the other way round.
      for (const { position } of events) {
        const queued_at = { agoMs: position * 1_000 };
        await context.rows.update('deliveries', namespace, { queued_at }, { position });
      }
      const refs = events.map(({ position }) => ({ position, handler: 'gone', epoch: 0 }));
      const completing = [0, 1, 2].map(() => store.complete(refs));
      const batches = await Promise.all([bury(40), bury(40), bury(40)]);
      const completed = (await Promise.all(completing)).flat().filter(Boolean).length;
      let buried = batches.reduce((sum, { affected }) => sum + affected, 0);
      buried += (await bury(200)).affected;
      expect(completed + buried).toBe(120);
    });
  });
}
