import type { BatchResult } from 'nestjs-durable-events';
import { DrainLimitError } from 'nestjs-durable-events/testing';
import { describe, expect, it, vi } from 'vitest';
import { onBatch, onEvent } from '../support/inline-handler.js';
import { OrderPaid, OrderPlaced } from './events.js';
import { STORAGES, useStorages } from './storages.js';
import { startKit, type Kit, type KitOptions } from './support.js';

useStorages();

/** A kit with a batch handler, and the orders that each call of it got. */
async function startBatches(on: KitOptions, handle: (orders: string[]) => unknown) {
  const calls: string[][] = [];
  const kit = await startKit({
    ...on,
    providers: [
      onBatch(
        OrderPlaced,
        { id: 'count', batch: { size: 3, wait: '5s' }, attempts: 3 },
        (events) => {
          const orders = events.map(({ data }) => data.orderId as string);
          calls.push(orders);
          return handle(orders);
        },
      ),
      onEvent(OrderPaid, { id: 'thank' }, () => undefined),
    ],
  });
  return { kit, calls };
}

async function place(kit: Kit, count: number): Promise<void> {
  for (let n = 1; n <= count; n++) await kit.events.emit(OrderPlaced, { orderId: `o${n}` });
}

describe.each(STORAGES)('drain, with a batch handler, on %s', (_name, on) => {
  it('hands it what is due, up to its size, and waits for nothing', async () => {
    const { kit, calls } = await startBatches(on(), () => undefined);
    await place(kit, 4);
    await kit.events.emit(OrderPaid, { orderId: 'o1' });
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    try {
      const runs = await kit.events.drain();
      expect(calls).toEqual([['o1', 'o2', 'o3'], ['o4']]);
      expect(runs.map(({ handler, event, outcome }) => [handler, event.data, outcome])).toEqual([
        ['count', { orderId: 'o1', total: 1 }, 'completed'],
        ['count', { orderId: 'o2', total: 1 }, 'completed'],
        ['count', { orderId: 'o3', total: 1 }, 'completed'],
        ['count', { orderId: 'o4', total: 1 }, 'completed'],
        ['thank', { orderId: 'o1' }, 'completed'],
      ]);
    } finally {
      vi.useRealTimers();
    }
  });

  it('tries again alone what it has reported, and what it has thrown for', async () => {
    const { kit, calls } = await startBatches(on(), (orders) => {
      if (orders.includes('o3')) throw new Error('not o3');
    });
    await place(kit, 3);
    const first = await kit.events.drain();
    expect(first.map(({ outcome, attempt }) => [outcome, attempt])).toEqual(
      first.map(() => ['failed', 1]),
    );
    const runs = await kit.events.drain({ retries: 'all' });
    expect(calls).toEqual([['o1', 'o2', 'o3'], ['o1'], ['o2'], ['o3'], ['o3']]);
    expect(runs.map(({ outcome }) => outcome)).toEqual([
      'completed',
      'completed',
      'failed',
      'dead',
    ]);
  });

  it('counts each event against its limit', async () => {
    const { kit } = await startBatches(on(), () => undefined);
    await place(kit, 5);
    await expect(kit.events.drain({ limit: 4 })).rejects.toBeInstanceOf(DrainLimitError);
  });

  it('tells the reported from the others, of many', async () => {
    const kit = await startKit({
      ...on(),
      providers: [
        onBatch(
          OrderPlaced,
          { id: 'count', batch: { size: 50 }, attempts: 1 },
          (events): BatchResult => ({
            failed: events
              .filter(({ data }) => data.orderId === 'o7')
              .map((event) => ({ event, error: new Error('not o7') })),
          }),
        ),
      ],
    });
    await place(kit, 60);
    const runs = await kit.events.drain();
    expect(runs).toHaveLength(60);
    expect(runs.filter(({ outcome }) => outcome === 'dead')).toMatchObject([
      { event: { data: { orderId: 'o7' } }, error: new Error('not o7') },
    ]);
  });
});

const DATABASES = STORAGES.filter(([name]) => name !== 'memory');

it.each(DATABASES)(
  'a transactional batch in a transaction that is rolled back: %s',
  async (_name, on) => {
    const calls: string[] = [];
    const kit = await startKit({
      ...on(),
      providers: [
        onBatch(
          OrderPlaced,
          { id: 'count', batch: { size: 10 }, transactional: true },
          async (events, { attempt, manager }): Promise<BatchResult> => {
            calls.push(`${attempt}: ${events.map(({ data }) => data.orderId).join(' ')}`);
            for (const { data } of events) {
              await manager.query(`INSERT INTO counts (id) VALUES ('${data.orderId}')`);
            }
            if (attempt === 1 && calls.length === 1) throw new Error('not yet');
            const failed = events.filter(() => attempt === 2 && calls.length === 2);
            return { failed: failed.map((event) => ({ event, error: 'not yet' })) };
          },
        ),
      ],
    });
    await kit.dataSource.query('DROP TABLE IF EXISTS counts');
    await kit.dataSource.query('CREATE TABLE counts (id varchar(10) NOT NULL)');
    const counted = () =>
      kit.dataSource.query<{ id: string }[]>('SELECT id FROM counts ORDER BY id');
    const rollback = new Error('rolled back');
    const work = kit.dataSource.transaction(async (manager) => {
      await kit.bus.emit(OrderPlaced, { orderId: 'o1' });
      await kit.bus.emit(OrderPlaced, { orderId: 'o2' });
      const runs = await kit.events.drain({ retries: 'all' });
      expect(runs.map(({ outcome, attempt }) => `${outcome} ${attempt}`)).toEqual([
        'failed 1',
        'failed 1',
        'failed 2',
        'completed 2',
        'completed 3',
      ]);
      // What the reported attempt has written stays: it did not throw.
      expect(await manager.query('SELECT id FROM counts ORDER BY id')).toEqual(
        ['o1', 'o1', 'o2'].map((id) => ({ id })),
      );
      throw rollback;
    });
    await expect(work).rejects.toBe(rollback);
    expect(calls).toEqual(['1: o1 o2', '2: o1', '2: o2', '3: o1']);
    expect(await counted()).toEqual([]);
    expect(await kit.events.drain()).toEqual([]);
  },
);
