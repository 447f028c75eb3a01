import { describe, expect, it } from 'vitest';
import { settleLeftovers, type Leftover } from '../../lib/handle/leftovers.js';
import type { DeliveryJob, TakenJob } from '../../lib/queue/event-queue.js';
import { createMemoryStores } from '../../lib/store/memory/create-memory-stores.js';
import type { EventStore } from '../../lib/store/event-store.js';
import { appendMany, handler, LIMITS, relayOnce } from '../contract/contract-context.js';

const NAMESPACE = 'shop';

/** The name that a chunk of so many gets. */
const named = (first: number, count: number) => -(first * 1_024 + count);

/** A job that carries these positions, all of them queued. */
async function chunkJob(
  positions: number[],
  { chunk = 1, earlierRuns = 0 }: { chunk?: number | null; earlierRuns?: number } = {},
) {
  const store: EventStore = createMemoryStores(NAMESPACE).events;
  await store.prepare();
  await store.registerHandlers([handler('mails', { perJob: 1 })]);
  await appendMany(store, 100);
  await relayOnce(store, LIMITS);
  await store.setChunks(
    positions.map((position) => ({ position, handler: 'mails', epoch: 0, chunk })),
  );
  const job: TakenJob = {
    data: {
      handler: 'mails',
      ...(chunk !== null && { chunk }),
      deliveries: positions.map((position) => ({ position, epoch: 0 })),
    },
    queue: 'mail',
    priority: 7,
    earlierRuns,
  };
  const pushed: DeliveryJob[] = [];
  const settle = (outcomes: readonly Leftover[], fitting = 10) =>
    settleLeftovers(job, outcomes, () => fitting, {
      namespace: NAMESPACE,
      store,
      push: async (jobs) => void pushed.push(...jobs),
    });
  const chunks = async () => {
    const refs = positions.map((position) => ({ position, handler: 'mails', epoch: 0 }));
    return (await store.deliveryStates(refs)).map((state) => state?.chunk);
  };
  return { settle, pushed, chunks, store };
}

const carried = (jobs: readonly DeliveryJob[]) =>
  jobs.map(({ data }) => data.deliveries.map(({ position }) => position));

const late: Leftover = { kind: 'late' };

describe('what a job leaves', () => {
  it('is nothing where all is done with', async () => {
    const { settle, pushed, chunks } = await chunkJob([1, 2, 3]);
    expect(await settle([undefined, undefined, undefined])).toBeUndefined();
    expect(pushed).toEqual([]);
    expect(await chunks()).toEqual([1, 1, 1]);
  });

  it('is run by itself again, as soon as the first of those is due that stay with it', async () => {
    const { settle, pushed } = await chunkJob([1, 2, 3]);
    const postponed = (inMs: number): Leftover => ({ kind: 'postponed', inMs });
    expect(await settle([postponed(900), undefined, postponed(400)])).toBe(400);
    expect(pushed).toEqual([]);
  });

  it('that has failed, in a job of its own, when it is due', async () => {
    const { settle, pushed } = await chunkJob([1, 2, 3]);
    expect(await settle([undefined, { kind: 'failed', inMs: 250 }, undefined])).toBeUndefined();
    expect(pushed).toEqual([
      {
        id: 'shop-2-mails-0',
        queue: 'mail',
        priority: 7,
        delayMs: 250,
        data: { handler: 'mails', deliveries: [{ position: 2, epoch: 0 }] },
      },
    ]);
  });

  it('that has failed, by itself, where it carries nothing else', async () => {
    const { settle, pushed } = await chunkJob([2], { chunk: null });
    expect(await settle([{ kind: 'failed', inMs: 250 }])).toBe(250);
    expect(pushed).toEqual([]);
  });

  it('that came too late, in new chunks, saved before their jobs are pushed', async () => {
    const { settle, pushed, chunks } = await chunkJob([1, 4, 5, 8, 9, 12]);
    expect(await settle([undefined, late, late, late, late, late], 2)).toBeUndefined();
    expect(carried(pushed)).toEqual([[4, 5], [8, 9], [12]]);
    const [a, b] = [named(4, 2), named(8, 2)];
    expect(pushed.map(({ id }) => id)).toEqual([
      `shop-c${a}-mails-0`,
      `shop-c${b}-mails-0`,
      'shop-12-mails-0',
    ]);
    expect(pushed.map(({ data }) => data.chunk)).toEqual([a, b, undefined]);
    expect(await chunks()).toEqual([1, a, a, b, b, null]);
  });

  it('that came too late, alone where one takes as long as a job may', async () => {
    const { settle, pushed, chunks } = await chunkJob([1, 4, 5]);
    await settle([undefined, late, late], 1);
    expect(carried(pushed)).toEqual([[4], [5]]);
    expect(await chunks()).toEqual([1, null, null]);
  });

  it('has another job also where it begins with what the job itself begins with', async () => {
    const { settle, pushed, chunks } = await chunkJob([1, 4, 5, 8]);
    // It was the second one's turn first.
    expect(await settle([late, undefined, late, late], 2)).toBeUndefined();
    expect(carried(pushed)).toEqual([[1, 5], [8]]);
    expect(await chunks()).toEqual([named(1, 2), 1, named(1, 2), null]);
  });

  const moved = (chunk: number | null): Leftover => ({ kind: 'moved', chunk });
  const elsewhere = [undefined, moved(4), moved(4), moved(null), moved(null)];

  it('is left for a moment to whoever has it by now, who is about to push it', async () => {
    const { settle, pushed } = await chunkJob([1, 4, 5, 8, 9]);
    expect(await settle(elsewhere)).toBe(1_000);
    expect(pushed).toEqual([]);
  });

  it('has a job for sure after that, a chunk in one piece', async () => {
    const { settle, pushed } = await chunkJob([1, 4, 5, 8, 9], { earlierRuns: 1 });
    expect(await settle(elsewhere)).toBeUndefined();
    // Of several jobs with one id the queue keeps the first.
    expect(carried(pushed)).toEqual([[4, 5], [8], [9]]);
    expect(pushed.map(({ id }) => id)).toEqual([
      'shop-c4-mails-0',
      'shop-8-mails-0',
      'shop-9-mails-0',
    ]);
  });

  it('touches nothing of what was completed meanwhile', async () => {
    const { settle, chunks, store } = await chunkJob([1, 4, 5]);
    await store.complete([{ position: 4, handler: 'mails', epoch: 0 }]);
    await settle([undefined, late, late], 2);
    expect(await chunks()).toEqual([1, 1, named(4, 2)]);
  });

  it('C7: that could not be moved, because somebody has its row, is left to this job', async () => {
    const { settle, pushed, store } = await chunkJob([1, 4, 5]);
    const move = store.setChunks.bind(store);
    // As a rescue that postpones the second one just now.
    store.setChunks = async (refs) => {
      const [, ...free] = refs;
      return [false, ...(await move(free))];
    };
    expect(await settle([undefined, late, late])).toBe(1_000);
    expect(carried(pushed)).toEqual([[5]]);
  });

  it('goes by the outcomes that are there, of those that are not there yet nothing', async () => {
    const { settle, pushed } = await chunkJob([1, 4, 5]);
    const outcomes: Leftover[] = [];
    outcomes[2] = late;
    await settle(outcomes);
    expect(carried(pushed)).toEqual([[5]]);
  });
});
