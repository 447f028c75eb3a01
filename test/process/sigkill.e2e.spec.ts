import { describe, expect, it } from 'vitest';
import type { KillPoint } from './children/shop.config.js';
import { BACKENDS, Shop } from './shop.js';

describe.each(BACKENDS)('SIGKILL, with BullMQ on %s', (backend) => {
  it('invariant 2: after the commit, before the relay: handled after restart', async () => {
    const shop = await Shop.open(backend);
    // (A pass of its own that is under way may just see the commit.)
    const first = await shop.start({
      killPoint: { at: 'committed' },
      events: { relay: { enabled: false } },
    });
    first.send({ do: 'emit', orders: ['o1'] });
    expect(await first.exited).toMatchObject({ signal: 'SIGKILL' });
    expect(await shop.events()).toEqual({ outbox: 1, log: 0 });
    await shop.start();
    await shop.expectHandled(['o1']);
  });

  it('C7: after the relay’s commit, before the push: handled after restart', async () => {
    const shop = await Shop.open(backend);
    const first = await shop.start({ killPoint: { at: 'signal', name: 'relay.moved' } });
    first.send({ do: 'emit', orders: ['o1'] });
    expect(await first.exited).toMatchObject({ signal: 'SIGKILL' });
    expect(await shop.events()).toEqual({ outbox: 0, log: 1 });
    expect(await shop.effects()).toEqual([]);
    await shop.start();
    await shop.expectHandled(['o1']);
  });

  it('invariant 2: while handlers run: run by another process, once its locks expire', async () => {
    const shop = await Shop.open(backend);
    const first = await shop.start({ work: { record: 'gated', reserve: 'gated' } });
    first.send({ do: 'emit', orders: ['o1'] });
    await first.toldTimes('started', 2);
    await shop.start();
    first.kill('SIGKILL');
    await shop.expectHandled(['o1']);
    expect((await shop.deliveries()).map(({ attempts }) => attempts)).toEqual([1, 1]);
  });

  it.each<[string, KillPoint]>([
    ['before', { at: 'effect', handler: 'reserve' }],
    ['after', { at: 'effect-committed' }],
  ])('invariant 3: %s a transactional effect’s commit: one effect', async (_when, killPoint) => {
    const shop = await Shop.open(backend);
    const first = await shop.start({ killPoint });
    first.send({ do: 'emit', orders: ['o1'] });
    expect(await first.exited).toMatchObject({ signal: 'SIGKILL' });
    const committed = (await shop.effects()).filter((effect) => effect === 'o1 reserve');
    expect(committed).toHaveLength(killPoint.at === 'effect-committed' ? 1 : 0);
    const second = await shop.start({ report: ['delivery.skipped', 'delivery.completed'] });
    await second.told('signal', ({ handler }) => handler === 'reserve');
    await shop.expectHandled(['o1'], { recordEffects: 'many' });
  });

  it.each<[string, KillPoint]>([
    ['between two of them', { at: 'effect', handler: 'record' }],
    ['after some are completed', { at: 'signal', name: 'delivery.completed', handler: 'reserve' }],
  ])(
    'invariant 3: in a job of several deliveries, %s: one effect each',
    async (_when, killPoint) => {
      const orders = Array.from({ length: 60 }, (_, index) => `o${index + 1}`);
      const shop = await Shop.open(backend);
      // All at once: what one pass of the relay moves shares jobs.
      const emits = await shop.start({
        events: { relay: { enabled: false }, workers: { enabled: false } },
      });
      emits.send({ do: 'emit', orders });
      await emits.told('emitted');
      const first = shop.launch({ killPoint });
      expect(await first.exited).toMatchObject({ signal: 'SIGKILL' });
      const [row] = await shop.query<{ chunked: number }>(
        'SELECT count(chunk)::int AS chunked FROM events_deliveries',
      );
      // Those whose turn has come; a pause of 100 ms gives the others jobs of their own.
      expect(row?.chunked).toBeGreaterThan(0);
      await shop.start();
      await shop.expectHandled(orders, { recordEffects: 'many' });
      expect(await shop.attempts()).toEqual([1]);
    },
  );

  it.each(['record', 'reserve'] as const)(
    'D9: after %s was marked completed, before its job is acknowledged: the repeat does nothing',
    async (handler) => {
      const shop = await Shop.open(backend);
      const first = await shop.start({
        killPoint: { at: 'signal', name: 'delivery.completed', handler },
      });
      first.send({ do: 'emit', orders: ['o1'] });
      expect(await first.exited).toMatchObject({ signal: 'SIGKILL' });
      const second = await shop.start({ report: ['delivery.skipped'] });
      await second.told('signal', (signal) => signal.handler === handler);
      await shop.expectHandled(['o1'], { recordEffects: handler === 'record' ? 'once' : 'many' });
    },
  );
});
