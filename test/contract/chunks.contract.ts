import { describe, expect, it } from 'vitest';
import { DeliveryPusher } from '../../lib/relay/delivery-pusher.js';
import type { DeliveryRef, RegisteredHandler } from '../../lib/store/event-store.js';
import { TestingQueue } from '../../lib/testing/testing-queue.js';
import {
  appendMany,
  handler,
  LIMITS,
  record,
  relayOnce,
  type Bus,
  type ContractContext,
} from './contract-context.js';
import { OPERATION } from './operations.contract.js';

export function describeChunks(context: ContractContext): void {
  /** `position handler chunk` of each delivery. */
  const stored = async ({ namespace }: Bus) => {
    const rows = await context.rows.select('deliveries', namespace, [
      'position',
      'handler',
      'chunk',
    ]);
    return rows.map((row) => `${row.position} ${row.handler} ${row.chunk}`).toSorted();
  };
  const chunksOf = async ({ namespace }: Bus) => {
    const rows = await context.rows.select('deliveries', namespace, ['position', 'chunk']);
    return rows
      .toSorted((a, b) => Number(a.position) - Number(b.position))
      .map(({ chunk }) => (chunk === null ? null : Number(chunk)));
  };
  const pusher = ({ namespace }: Bus) =>
    new DeliveryPusher(new TestingQueue(), { namespace, maxInlineBytes: 100 });
  const ref = (position: number, epoch = 0): DeliveryRef => ({ position, handler: 'mails', epoch });

  /** A bus with so many events, whose handler's deliveries come in chunks of two. */
  const inPairs = async (count = 20) => {
    const bus = await context.bus();
    await bus.store.registerHandlers([handler('mails', { perJob: 2 })]);
    await appendMany(bus.store, count);
    await relayOnce(bus.store);
    return bus;
  };

  describe('the chunks of a relay pass', () => {
    const some = { events: ['order.paid'] };
    const both = { events: ['order.placed', 'order.paid'] };

    it.each<[string, number, Partial<RegisteredHandler>]>([
      ['few events', 19, {}],
      ['some events', 20, {}],
      ['as many as don’t come out even', 47, {}],
      ['many', 150, {}],
      ['a full batch', 500, {}],
      ['a slow handler', 150, { perJob: 1 }],
      ['a handler that is quite slow', 150, { perJob: 4 }],
      ['one that takes only some events', 150, some],
      ['one that takes all events', 150, both],
      ['one that names an event twice', 60, { events: ['order.paid', 'order.paid'] }],
      ['a batch handler', 150, { batchSize: 100 }],
      ['a batch handler of few', 150, { batchSize: 7, ...some }],
      ['a batch handler of one', 30, { batchSize: 1 }],
      ['a batch handler of more than there is', 30, { batchSize: 1_000, ...both }],
      ['a batch handler whose pace was told', 30, { batchSize: 20, perJob: 3 }],
    ])('are those of the jobs that are pushed: %s', async (_what, count, options) => {
      const bus = await context.bus();
      await bus.store.registerHandlers([
        handler('a', options),
        handler('b', { ...options, aliases: ['c'] }),
        handler('other', both),
      ]);
      // Twice, so that the second pass begins somewhere else than at 1.
      for (let pass = 0; pass < 2; pass++) {
        const names = Array.from({ length: count }, (_, index) =>
          index % 3 === 0 ? 'order.paid' : 'order.placed',
        );
        await bus.store.append(names.map((name) => record({ name })));
        const jobs = pusher(bus).jobsOf(await relayOnce(bus.store), 0);
        const pushed = jobs.flatMap(({ data }) =>
          data.deliveries.map(
            ({ position }) => `${position} ${data.handler} ${data.chunk ?? null}`,
          ),
        );
        const all = await stored(bus);
        expect(pushed.length).toBeGreaterThan(0);
        expect(all).toEqual(expect.arrayContaining(pushed));
        expect(new Set(pushed).size).toBe(pushed.length);
        expect(all.length).toBe(pushed.length * (pass + 1));
        // A chunk is one job.
        expect(new Set(jobs.map(({ id }) => id)).size).toBe(jobs.length);
      }
    });

    it('are those of the jobs also with events that were delayed', async () => {
      const bus = await context.bus();
      await bus.store.registerHandlers([handler('a', { perJob: 3 })]);
      const records = Array.from({ length: 60 }, (_, index) =>
        record(index % 2 === 0 ? { delayMs: 3_600_000 } : {}),
      );
      await bus.store.append(records);
      await context.database.advance(bus.namespace, 3_600_001);
      // Of each kind a batch: more than `batchSize` are moved at once.
      const batch = await relayOnce(bus.store, { ...LIMITS, batchSize: 25 });
      expect(batch.events).toHaveLength(50);
      const pushed = pusher(bus)
        .jobsOf(batch, 0)
        .flatMap(({ data }) =>
          data.deliveries.map(({ position }) => `${position} a ${data.chunk ?? null}`),
        );
      expect(await stored(bus)).toEqual(pushed.toSorted());
      expect(await chunksOf(bus)).toContain(4);
    });

    it('are told with the states of deliveries', async () => {
      const bus = await inPairs();
      expect(await bus.store.deliveryStates([ref(4), ref(1)])).toMatchObject([
        { chunk: 3 },
        { chunk: 1 },
      ]);
    });
  });

  describe('the chunks of deliveries that come again', () => {
    const overdue = ({ namespace }: Bus) =>
      context.rows.update('deliveries', namespace, {
        queued_at: { agoMs: 120_000 },
        rescue_at: { agoMs: 1 },
      });

    it('are told by the rescue, in whose order each comes in one piece', async () => {
      const bus = await inPairs();
      await overdue(bus);
      const { deliveries } = await bus.store.rescue(LIMITS);
      expect(deliveries.map(({ position, chunk }) => [position, chunk])).toEqual(
        Array.from({ length: 20 }, (_, index) => [index + 1, index - (index % 2) + 1]),
      );
    });

    it('come in one piece also when they were rescued or given back before', async () => {
      const bus = await context.bus();
      await bus.store.registerHandlers([handler('mails', { batchSize: 4 })]);
      await appendMany(bus.store, 400);
      await relayOnce(bus.store);
      const inOrder = Array.from({ length: 400 }, (_, index) => index + 1);
      const positions = async () => {
        // Postponed by as long as they have waited.
        const { deliveries } = await bus.store.rescue({ ...LIMITS, rescueAfterMs: 1 });
        return deliveries.map(({ position }) => position);
      };
      await context.database.advance(bus.namespace, 60_001);
      expect(await positions()).toEqual(inOrder);
      await context.database.advance(bus.namespace, 60_001);
      expect(await positions()).toEqual(inOrder);
      // As after a push that failed.
      const refs = inOrder.toReversed().map((position) => ref(position));
      await bus.store.unrescue(refs, 60_000);
      await context.database.advance(bus.namespace, 60_001);
      expect(await positions()).toEqual(inOrder);
    });

    it('come with what a wiped queue must hold again', async () => {
      const bus = await inPairs();
      const { deliveries } = await bus.store.queuedDeliveries(500);
      const chunks = deliveries.toSorted((a, b) => a.position - b.position);
      expect(chunks.slice(0, 4).map(({ chunk }) => chunk)).toEqual([1, 1, 3, 3]);
    });
  });

  describe('setChunks', () => {
    it('moves deliveries to other chunks, and out of them', async () => {
      const bus = await inPairs();
      const moved = await bus.store.setChunks([
        { ...ref(1), chunk: 1 },
        { ...ref(2), chunk: null },
        { ...ref(3), chunk: Number.MAX_SAFE_INTEGER },
        { ...ref(4), chunk: Number.MIN_SAFE_INTEGER },
      ]);
      expect(moved).toEqual([true, true, true, true]);
      const [max, min] = [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER];
      expect((await chunksOf(bus)).slice(0, 5)).toEqual([1, null, max, min, 5]);
    });

    it('leaves alone what is done, of another epoch, of another handler or not there', async () => {
      const bus = await inPairs();
      await bus.store.complete([ref(1)]);
      const moved = await bus.store.setChunks([
        { ...ref(1), chunk: 77 },
        { ...ref(2, 1), chunk: 77 },
        { ...ref(3), handler: 'other', chunk: 77 },
        { ...ref(999), chunk: 77 },
      ]);
      expect(moved).toEqual([false, false, false, false]);
      expect(await chunksOf(bus)).not.toContain(77);
    });

    context.needing('connections')('passes over what is handled in a transaction', async () => {
      const bus = await inPairs();
      await context.withRunner(async (runner) => {
        await bus.store.complete([ref(2)], runner);
        const refs = [3, 2, 1].map((position) => ({ ...ref(position), chunk: 77 }));
        expect(await bus.store.setChunks(refs)).toEqual([true, false, true]);
      });
      expect((await chunksOf(bus)).slice(0, 4)).toEqual([77, 1, 77, 3]);
    });

    it('does nothing for an empty list', async () => {
      const bus = await inPairs();
      await bus.store.setChunks([]);
      expect((await chunksOf(bus)).slice(0, 3)).toEqual([1, 1, 3]);
    });
  });

  describe('a delivery leaves its chunk', () => {
    const failed = { attempt: 1, error: 'no', retryInMs: 5 };

    it('when its attempt has failed, whether it is tried again or not', async () => {
      const bus = await inPairs();
      await bus.store.fail(
        [
          { ...ref(1), ...failed, dead: false },
          { ...ref(3), ...failed, dead: true },
          { ...ref(5, 1), ...failed, dead: false },
        ],
        60_000,
      );
      expect((await chunksOf(bus)).slice(0, 6)).toEqual([null, 1, null, 3, 5, 5]);
    });

    it('before it is redriven: the chunk may have a job of its former epoch', async () => {
      const bus = await inPairs();
      await bus.store.fail([{ ...ref(1), ...failed, dead: true }], 60_000);
      // As it was in a chunk when it died, by an earlier version or somebody's own statement.
      await context.rows.update('deliveries', bus.namespace, { chunk: 1 }, { position: 1 });
      const { deadLetters, operations } = bus.stores;
      const id = await operations.start(OPERATION);
      expect(await deadLetters.redrive(id, {}, { limit: 5 })).toMatchObject({ affected: 1 });
      expect(await bus.store.deliveryStates([ref(1)])).toMatchObject([
        { status: 'queued', epoch: 1, chunk: null },
      ]);
    });
  });
}
