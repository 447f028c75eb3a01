import {
  DeadLetters,
  EventLog,
  EventsHealth,
  EventTransactionRequiredError,
  InvalidEventDataError,
  UnrecoverableEventError,
  UnserializableEventDataError,
  type EventBus,
} from 'nestjs-durable-events';
import { DrainLimitError } from 'nestjs-durable-events/testing';
import { describe, expect, it, vi } from 'vitest';
import { onEvent } from '../support/inline-handler.js';
import { OrderPaid, OrderPlaced } from './events.js';
import { STORAGES, useStorages } from './storages.js';
import { startKit } from './support.js';

useStorages();

describe.each(STORAGES)('drain, on %s', (_name, on) => {
  it('runs what is committed, with what handlers emit, and tells what ran', async () => {
    const seen: string[] = [];
    let bus: EventBus | undefined;
    const kit = await startKit({
      ...on(),
      providers: [
        onEvent(OrderPlaced, { id: 'pay', transactional: true }, async ({ data }) => {
          await bus!.emit(OrderPaid, { orderId: data.orderId });
        }),
        onEvent(OrderPaid, { id: 'thank' }, ({ data }) => seen.push(`thank ${data.orderId}`)),
        onEvent([OrderPlaced, OrderPaid], { id: 'audit' }, ({ name }) => seen.push(name)),
      ],
    });
    bus = kit.bus;
    await kit.dataSource.transaction(async () => {
      await kit.bus.emit(OrderPlaced, { orderId: 'o1' });
      await kit.bus.emit(OrderPlaced, { orderId: 'o2' });
    });
    const runs = await kit.events.drain();
    expect(runs.map(({ handler, event, outcome }) => [handler, event.data, outcome])).toEqual([
      ['audit', { orderId: 'o1', total: 1 }, 'completed'],
      ['pay', { orderId: 'o1', total: 1 }, 'completed'],
      ['audit', { orderId: 'o2', total: 1 }, 'completed'],
      ['pay', { orderId: 'o2', total: 1 }, 'completed'],
      ['audit', { orderId: 'o1' }, 'completed'],
      ['thank', { orderId: 'o1' }, 'completed'],
      ['audit', { orderId: 'o2' }, 'completed'],
      ['thank', { orderId: 'o2' }, 'completed'],
    ]);
    expect(seen).toContain('thank o2');
    expect(await kit.events.drain()).toEqual([]);
    const [paid] = kit.events.emitted(OrderPaid);
    expect(paid?.causationId).toBe(kit.events.emitted(OrderPlaced)[0]?.eventId);
    expect((await kit.module.get(EventsHealth).check()).ledger).toMatchObject({
      completed: 8,
      difference: 0,
    });
  });

  it('leaves what failed to its backoff, which advance() ends', async () => {
    const attempts: number[] = [];
    const kit = await startKit({
      ...on(),
      providers: [
        onEvent(OrderPlaced, { id: 'flaky', backoff: '1h' }, (_event, { attempt }) => {
          attempts.push(attempt);
          if (attempt < 3) throw new Error('not yet');
        }),
      ],
    });
    await kit.events.emit(OrderPlaced, { orderId: 'o1' });
    const [failed] = await kit.events.drain();
    expect(failed).toMatchObject({ outcome: 'failed', attempt: 1, error: new Error('not yet') });
    expect(await kit.events.drain()).toEqual([]);
    await kit.events.advance('59m');
    expect(await kit.events.drain()).toEqual([]);
    await kit.events.advance('1m');
    expect(await kit.events.drain()).toMatchObject([{ outcome: 'failed', attempt: 2 }]);
    expect(await kit.events.drain({ retries: 'all' })).toMatchObject([{ outcome: 'completed' }]);
    expect(attempts).toEqual([1, 2, 3]);
  });

  it('knows no time but the test’s: a backoff does not end by itself', async () => {
    const { events } = await startKit({
      ...on(),
      providers: [
        onEvent(OrderPaid, { id: 'a', backoff: '10ms' }, (_event, { attempt }) => {
          if (attempt === 1) throw new Error('once');
        }),
      ],
    });
    await events.emit(OrderPaid, { orderId: 'o1' });
    expect(await events.drain()).toHaveLength(1);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(await events.drain()).toEqual([]);
    await events.advance('10ms');
    expect(await events.drain()).toMatchObject([{ outcome: 'completed' }]);
  });

  it('with retries makes all attempts at once, to the dead letter', async () => {
    const kit = await startKit({
      ...on(),
      testing: { retries: 'all', defaults: { attempts: 3, backoff: '1d' } },
      providers: [
        onEvent(OrderPlaced, { id: 'broken' }, () => {
          throw new Error('no');
        }),
        onEvent(OrderPlaced, { id: 'hopeless' }, () => {
          throw new UnrecoverableEventError('never');
        }),
      ],
    });
    await kit.events.emit(OrderPlaced, { orderId: 'o1' });
    const runs = await kit.events.drain();
    expect(runs.map(({ handler, outcome, attempt }) => [handler, outcome, attempt])).toEqual([
      ['broken', 'failed', 1],
      ['hopeless', 'dead', 1],
      ['broken', 'failed', 2],
      ['broken', 'dead', 3],
    ]);
    kit.events.expectDead('broken', { orderId: 'o1' });
    const letters = kit.module.get(DeadLetters);
    expect((await letters.list()).items).toHaveLength(2);
    await letters.redrive({ handler: 'broken' });
    expect(await kit.events.drain({ retries: 'none' })).toMatchObject([
      { handler: 'broken', outcome: 'failed', attempt: 4 },
    ]);
  });

  it('holds delayed events back until advance()', async () => {
    const kit = await startKit({ ...on(), providers: [onEvent(OrderPaid, { id: 'a' }, vi.fn())] });
    await kit.events.emit(OrderPaid, { orderId: 'later' }, { delay: '2d' });
    expect(await kit.events.drain({ retries: 'all' })).toEqual([]);
    await kit.events.advance('47h');
    expect(await kit.events.drain()).toEqual([]);
    await kit.events.advance('1h');
    expect(await kit.events.drain()).toHaveLength(1);
    kit.events.expectEmitted(OrderPaid, (_data, { delayMs }) => delayMs === 2 * 86_400_000);
  });

  it('ends with an error where a handler emits what it handles', async () => {
    let bus: EventBus | undefined;
    const kit = await startKit({
      ...on(),
      providers: [
        onEvent(OrderPaid, { id: 'loop' }, async ({ data }) => {
          await bus!.emit(OrderPaid, data, { standalone: 'allow' });
        }),
      ],
    });
    bus = kit.bus;
    await kit.events.emit(OrderPaid, { orderId: 'o1' });
    const error: unknown = await kit.events.drain({ limit: 20 }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DrainLimitError);
    expect((error as Error).message).toContain('order.paid → loop (20 times)');
    expect((error as DrainLimitError).runs).toHaveLength(20);
  });

  it('checks what production checks', async () => {
    const kit = await startKit({
      ...on(),
      providers: [
        onEvent(OrderPlaced, { id: 'reader' }, ({ data }) => {
          (data as { orderId: string }).orderId = 'changed';
        }),
        onEvent(OrderPlaced, { id: 'second' }, vi.fn()),
      ],
    });
    const { bus, dataSource, events } = kit;
    const data = { orderId: 'o1', total: 1 };
    await expect(bus.emit(OrderPlaced, data)).rejects.toBeInstanceOf(EventTransactionRequiredError);
    await expect(events.emit(OrderPlaced, { orderId: 1 } as never)).rejects.toBeInstanceOf(
      InvalidEventDataError,
    );
    await expect(events.emit('order.placed', { ...data, total: NaN })).rejects.toThrow('total');
    await expect(events.emit(OrderPaid, { orderId: new Map() } as never)).rejects.toBeInstanceOf(
      UnserializableEventDataError,
    );
    expect(events.emitted()).toEqual([]);
    await dataSource.transaction(async () => {
      const first = await bus.emit(OrderPlaced, data, { idempotencyKey: 'k' });
      const second = await bus.emit(OrderPlaced, data, { idempotencyKey: 'k' });
      expect(second).toMatchObject({ eventId: first.eventId, duplicate: true });
    });
    events.expectEmitted(OrderPlaced, data, { times: 1 });
    await events.drain();
    // Each handler gets data of its own, out of JSON.
    events.expectDelivered('second', { orderId: 'o1' });
    expect(await kit.module.get(EventLog).ofEntity('order', 'o1')).toMatchObject([
      { position: 1, deliveries: [{ handler: 'reader' }, { handler: 'second' }] },
    ]);
  });

  it('takes rolled back events, keys and savepoints out', async () => {
    const { bus, dataSource, events } = await startKit({
      ...on(),
      providers: [onEvent(OrderPaid, { id: 'a' }, vi.fn())],
    });
    const rollback = new Error('rolled back');
    const work = dataSource.transaction(async () => {
      await bus.emit(OrderPaid, { orderId: 'outer' }, { idempotencyKey: 'k' });
      events.expectEmitted(OrderPaid, { orderId: 'outer' });
      throw rollback;
    });
    await expect(work).rejects.toBe(rollback);
    events.expectNotEmitted(OrderPaid);
    await dataSource.transaction(async (manager) => {
      const again = await bus.emit(OrderPaid, { orderId: 'kept' }, { idempotencyKey: 'k' });
      expect(again.duplicate).toBe(false);
      const inner = manager.transaction(async () => {
        await bus.emit(OrderPaid, { orderId: 'inner' });
        throw rollback;
      });
      await expect(inner).rejects.toBe(rollback);
      await manager.transaction(() => bus.emit(OrderPaid, { orderId: 'nested' }));
    });
    expect(events.emitted(OrderPaid).map(({ data }) => data.orderId)).toEqual(['kept', 'nested']);
    expect(await events.drain()).toHaveLength(2);
  });

  it('undoes a transactional handler that fails, with what it emitted', async () => {
    let bus: EventBus | undefined;
    const { events, ...kit } = await startKit({
      ...on(),
      providers: [
        onEvent(OrderPlaced, { id: 'pay', transactional: true, attempts: 2 }, async (_e, c) => {
          await bus!.emit(OrderPaid, { orderId: `attempt ${c.attempt}` });
          if (c.attempt === 1) throw new Error('after the emit');
        }),
      ],
    });
    bus = kit.bus;
    await events.emit(OrderPlaced, { orderId: 'o1' });
    const runs = await events.drain({ retries: 'all' });
    expect(runs.map(({ outcome }) => outcome)).toEqual(['failed', 'completed']);
    expect(events.emitted(OrderPaid).map(({ data }) => data)).toEqual([{ orderId: 'attempt 2' }]);
    expect((await kit.module.get(EventsHealth).check()).ledger.difference).toBe(0);
  });

  it('clear() begins anew, at position 1', async () => {
    const { events, module } = await startKit({
      ...on(),
      providers: [onEvent(OrderPlaced, { id: 'a' }, vi.fn())],
    });
    for (const orderId of ['o1', 'o2']) {
      await events.emit(OrderPlaced, { orderId });
      expect(await events.drain()).toHaveLength(1);
      expect(await module.get(EventLog).ofEntity('order', orderId)).toMatchObject([
        { position: 1 },
      ]);
      await events.clear();
      expect([events.emitted(), events.deliveries()]).toEqual([[], []]);
    }
  });

  it('is not stopped by fake timers', async () => {
    const { events } = await startKit({
      ...on(),
      providers: [onEvent(OrderPaid, { id: 'a' }, vi.fn())],
    });
    vi.useFakeTimers();
    try {
      await events.emit(OrderPaid, { orderId: 'o1' });
      expect(await events.drain()).toHaveLength(1);
    } finally {
      vi.useRealTimers();
    }
  });
});
