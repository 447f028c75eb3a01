import { EventTransactionRequiredError, type EventBus } from 'nestjs-durable-events';
import { DrainBlockedError } from 'nestjs-durable-events/testing';
import { describe, expect, it } from 'vitest';
import { onEvent } from '../support/inline-handler.js';
import { OrderPaid, OrderPlaced } from './events.js';
import { STORAGES, useStorages } from './storages.js';
import { startKit } from './support.js';

useStorages();

describe.each(STORAGES)('on %s', (_name, on) => {
  it('inline: handlers run after the outermost commit, with what they emit', async () => {
    const seen: string[] = [];
    let bus: EventBus | undefined;
    const kit = await startKit({
      ...on(),
      testing: { mode: 'inline' },
      providers: [
        onEvent(OrderPlaced, { id: 'pay', transactional: true }, async ({ data }) => {
          seen.push('pay');
          await bus!.emit(OrderPaid, { orderId: data.orderId });
        }),
        onEvent(OrderPaid, { id: 'thank' }, async () => {
          // Not in the transaction that was committed.
          await expect(bus!.emit(OrderPlaced, { orderId: 'o2' })).rejects.toBeInstanceOf(
            EventTransactionRequiredError,
          );
          seen.push('thank');
        }),
      ],
    });
    bus = kit.bus;
    await kit.dataSource.transaction(async (manager) => {
      await manager.transaction(() => kit.bus.emit(OrderPlaced, { orderId: 'o1' }));
      seen.push('before the commit');
    });
    expect(seen).toEqual(['before the commit', 'pay', 'thank']);
    kit.events.expectDelivered('thank');
    seen.length = 0;
    await kit.events.emit(OrderPlaced, { orderId: 'standalone' });
    expect(seen).toEqual(['pay', 'thank']);
  });

  it('inline: errors of handlers reject the commit, or the standalone emit', async () => {
    const kit = await startKit({
      ...on(),
      testing: { mode: 'inline' },
      providers: [
        onEvent([OrderPlaced, OrderPaid], { id: 'a' }, () => {
          throw new Error('a failed');
        }),
        onEvent(OrderPlaced, { id: 'b' }, () => {
          throw new TypeError('b failed');
        }),
      ],
    });
    const { dataSource, bus, events } = kit;
    const emitPaid = () => bus.emit(OrderPaid, { orderId: 'o1' });
    await expect(dataSource.transaction(emitPaid)).rejects.toThrow('a failed');
    await expect(events.emit(OrderPaid, { orderId: 'o1' })).rejects.toThrow('a failed');
    const runner = dataSource.createQueryRunner();
    await runner.startTransaction();
    await bus.emit(OrderPlaced, { orderId: 'o1' }, { manager: runner.manager });
    const error: unknown = await runner.commitTransaction().catch((thrown: unknown) => thrown);
    await runner.release();
    expect(error).toBeInstanceOf(AggregateError);
    expect((error as AggregateError).errors).toEqual([
      new Error('a failed'),
      new TypeError('b failed'),
    ]);
    // They are committed all the same, as in production.
    expect(events.emitted()).toHaveLength(3);
  });

  it('inline, with retries: only what is dead in the end is an error', async () => {
    const kit = await startKit({
      ...on(),
      testing: { mode: 'inline', retries: 'all', defaults: { attempts: 3 } },
      providers: [
        onEvent(OrderPaid, { id: 'flaky' }, ({ data }, { attempt }) => {
          if (attempt < 3 || data.orderId === 'bad') throw new Error(`attempt ${attempt}`);
        }),
      ],
    });
    await kit.events.emit(OrderPaid, { orderId: 'good' });
    await expect(kit.events.emit(OrderPaid, { orderId: 'bad' })).rejects.toThrow('attempt 3');
    kit.events.expectDelivered('flaky', { orderId: 'good' });
    kit.events.expectDead('flaky', { orderId: 'bad' });
  });

  it('off: events are checked and recorded, and no handler runs', async () => {
    const kit = await startKit({
      ...on(),
      testing: { mode: 'off' },
      providers: [
        onEvent(OrderPaid, { id: 'never' }, () => {
          throw new Error('it ran');
        }),
      ],
    });
    await kit.dataSource.transaction(() => kit.bus.emit(OrderPaid, { orderId: 'o1' }));
    kit.events.expectEmitted(OrderPaid, { orderId: 'o1' });
    expect(kit.events.deliveries()).toEqual([]);
    await expect(kit.events.drain()).rejects.toThrow('"mode" is \'off\'');
  });
});

it('inline: commits at once wait for each other, but never for ever', async () => {
  const [[, postgres]] = STORAGES as [(typeof STORAGES)[0]];
  const kit = await startKit({
    ...postgres(),
    testing: { mode: 'inline' },
    providers: [onEvent(OrderPaid, { id: 'a', transactional: true }, () => undefined)],
  });
  const commit = (_: unknown, n: number) =>
    kit.dataSource.transaction(() => kit.bus.emit(OrderPaid, { orderId: `o${n}` }));
  await Promise.all(Array.from({ length: 5 }, commit));
  expect(kit.events.deliveries('a')).toHaveLength(5);
  // More than the pool has connections.
  const ends = await Promise.allSettled(Array.from({ length: 30 }, commit));
  const reasons = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason] : []));
  for (const reason of reasons) expect(reason).toBeInstanceOf(DrainBlockedError);
  kit.events.expectEmitted(OrderPaid, undefined, { times: 35 });
});
