import { describe, expect, it } from 'vitest';
import { BACKENDS, expectEnd, orderIds, Shop } from './shop.js';

describe.each(BACKENDS)('SIGTERM, with BullMQ on %s', (backend) => {
  it.each(['typeorm-first', 'events-first'] as const)(
    'E1 E7 invariant 10: while 50 handlers run: all of them complete, the rest stays (%s)',
    async (importOrder) => {
      const shop = await Shop.open(backend);
      const orders = orderIds(60);
      const first = await shop.start({ importOrder, work: { record: 'gated' } });
      first.send({ do: 'emit', orders });
      await first.told('emitted');
      const running = await first.toldTimes('started', 50, ({ handler }) => handler === 'record');
      first.kill('SIGTERM');
      await first.told('closing');
      first.send({ do: 'release' });
      await expectEnd(first);

      const started = new Set(running.map(({ order }) => order));
      const records = (await shop.deliveries()).filter(({ handler }) => handler === 'record');
      expect(records).toMatchObject(
        records.map(({ order }) =>
          started.has(order)
            ? { order, status: 'completed', attempts: 1 }
            : { order, status: 'queued', attempts: 0 },
        ),
      );
      await shop.start();
      await shop.expectHandled(orders);
    },
  );

  it.each(['typeorm-first', 'events-first'] as const)(
    'E1 E7: while a transactional handler runs: it commits before the DataSource goes (%s)',
    async (importOrder) => {
      const shop = await Shop.open(backend);
      const first = await shop.start({ importOrder, work: { reserve: 'gated' } });
      first.send({ do: 'emit', orders: ['o1'] });
      await first.told('started', ({ handler }) => handler === 'reserve');
      first.kill('SIGTERM');
      await first.told('closing');
      first.send({ do: 'release' });
      await expectEnd(first);
      expect(await shop.wrongs(['o1'])).toEqual([]);
    },
  );

  it.each(['endless', 'heeding'] as const)(
    'invariant 5: while %s handlers run: aborted in time, no attempt counted, handled after restart',
    async (work) => {
      const shop = await Shop.open(backend);
      // Much longer than this test: the jobs are given back, not left locked until that is over.
      const events = { workers: { lockDuration: '60s' } } as const;
      const first = await shop.start({
        events,
        work: { record: work, reserve: work },
        // The process ends only if nothing of the library keeps it alive.
        onSigterm: 'close',
      });
      first.send({ do: 'emit', orders: ['o1'] });
      await first.toldTimes('started', 2);
      first.kill('SIGTERM');
      await expectEnd(first);
      expect(first.messages.filter(({ type }) => type === 'aborted')).toHaveLength(2);
      expect(await shop.effects()).toEqual([]);
      expect(await shop.deliveries()).toMatchObject([
        { handler: 'record', status: 'queued', attempts: 0 },
        { handler: 'reserve', status: 'queued', attempts: 0 },
      ]);
      await shop.start({ events });
      await shop.expectHandled(['o1']);
    },
  );
});
