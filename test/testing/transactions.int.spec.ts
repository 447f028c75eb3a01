import { EventLog } from 'nestjs-durable-events';
import { DrainBlockedError } from 'nestjs-durable-events/testing';
import type { EntityManager } from 'typeorm';
import { describe, expect, it, vi } from 'vitest';
import { onEvent } from '../support/inline-handler.js';
import { OrderPaid, OrderPlaced } from './events.js';
import { STORAGES, useStorages } from './storages.js';
import { startKit, type Kit } from './support.js';

useStorages();

const rollback = new Error('rolled back');

/** The rows of a table of the test's own. */
async function notes(kit: Kit): Promise<string[]> {
  const rows = await kit.dataSource.query<{ text: string }[]>('SELECT text FROM notes ORDER BY 1');
  return rows.map(({ text }) => text);
}

async function startWithNotes(on: Parameters<typeof startKit>[0]): Promise<Kit> {
  let kit: Kit | undefined;
  const write = (text: string, manager?: EntityManager) =>
    (manager ?? kit!.dataSource).query(`INSERT INTO notes (text) VALUES ('${text}')`);
  kit = await startKit({
    ...on,
    providers: [
      onEvent(
        OrderPlaced,
        { id: 'pay', transactional: true, attempts: 2 },
        async (event, context) => {
          await write(`pay ${context.attempt}`, context.manager);
          await kit!.bus.emit(OrderPaid, { orderId: event.data.orderId });
          if (context.attempt === 1) throw new Error('the first time');
        },
      ),
      onEvent(OrderPaid, { id: 'thank' }, async (_event, { attempt }) => {
        await write('thank').catch(() => undefined);
        if (attempt === 1) await kit!.dataSource.query('SELECT 1 FROM nowhere');
      }),
    ],
  });
  await kit.dataSource.query('DROP TABLE IF EXISTS notes');
  await kit.dataSource.query('CREATE TABLE notes (text varchar(100) NOT NULL UNIQUE)');
  return kit;
}

const DATABASES = STORAGES.filter(([name]) => name !== 'memory');

describe.each(DATABASES)('a test in a transaction that it rolls back, on %s', (_name, on) => {
  /** Emits and drains: all of it is seen in the transaction. */
  async function play(kit: Kit, drain: () => ReturnType<Kit['events']['drain']>): Promise<void> {
    const runs = await drain();
    expect(runs.map(({ handler, outcome }) => [handler, outcome])).toEqual([
      ['pay', 'failed'],
      ['pay', 'completed'],
      ['thank', 'failed'],
      ['thank', 'completed'],
    ]);
    kit.events.expectDelivered('pay', { orderId: 'o1' });
    kit.events.expectEmitted(OrderPaid, { orderId: 'o1' }, { times: 1 });
  }

  async function expectNothingLeft(kit: Kit): Promise<void> {
    expect(await notes(kit)).toEqual([]);
    expect(kit.events.emitted()).toEqual([]);
    expect(await kit.events.drain()).toEqual([]);
    expect(await kit.module.get(EventLog).ofEntity('order', 'o1')).toEqual([]);
  }

  it('of dataSource.transaction()', async () => {
    const kit = await startWithNotes(on());
    const work = kit.dataSource.transaction(async () => {
      await kit.bus.emit(OrderPlaced, { orderId: 'o1' });
      await play(kit, () => kit.events.drain({ retries: 'all' }));
      throw rollback;
    });
    await expect(work).rejects.toBe(rollback);
    await expectNothingLeft(kit);
  });

  it('of a query runner', async () => {
    const kit = await startWithNotes(on());
    const runner = kit.dataSource.createQueryRunner();
    await runner.startTransaction();
    const { manager } = runner;
    await kit.bus.emit(OrderPlaced, { orderId: 'o1' }, { manager });
    await kit.bus.emit(OrderPaid, { orderId: 'later' }, { manager, delay: '1h' });
    await play(kit, () => kit.events.drain({ retries: 'all', manager }));
    await kit.events.advance('1h', { manager });
    const [run] = await kit.events.drain({ manager });
    expect(run).toMatchObject({ handler: 'thank', event: { data: { orderId: 'later' } } });
    await runner.rollbackTransaction();
    await runner.release();
    await expectNothingLeft(kit);
    await expect(kit.events.drain({ manager: kit.dataSource.manager })).rejects.toThrow(
      'no open transaction',
    );
  });

  it('of rolledBack(), with the transactions of services in it', async () => {
    const kit = await startWithNotes(on());
    const { dataSource, bus } = kit;
    await kit.events.rolledBack(async () => {
      await dataSource.transaction(async (manager) => {
        await manager.query("INSERT INTO notes (text) VALUES ('placed')");
        await bus.emit(OrderPlaced, { orderId: 'o1' });
      });
      const failing = dataSource.transaction(async (manager) => {
        await manager.query("INSERT INTO notes (text) VALUES ('undone')");
        await bus.emit(OrderPlaced, { orderId: 'o2' });
        throw rollback;
      });
      await expect(failing).rejects.toBe(rollback);
      await expect(dataSource.query('SELECT 1 FROM nowhere')).rejects.toThrow('nowhere');
      await play(kit, () => kit.events.drain({ retries: 'all' }));
      expect(await notes(kit)).toEqual(['pay 2', 'placed', 'thank']);
      expect(await kit.module.get(EventLog).ofEntity('order', 'o1')).toMatchObject([
        { position: 1, deliveries: [{ status: 'completed' }] },
      ]);
    });
    await expectNothingLeft(kit);
  });

  it('in inline mode', async () => {
    const kit = await startWithNotes({ ...on(), testing: { mode: 'inline', retries: 'all' } });
    await kit.events.rolledBack(async () => {
      await kit.dataSource.transaction(() => kit.bus.emit(OrderPlaced, { orderId: 'o1' }));
      kit.events.expectDelivered('pay');
      kit.events.expectDelivered('thank');
      expect(await notes(kit)).toEqual(['pay 2', 'thank']);
    });
    expect(await notes(kit)).toEqual([]);
    expect(kit.events.emitted()).toEqual([]);
  });
});

it('a drain beside a transaction that has drained says what is in its way', async () => {
  const [[, on]] = DATABASES as [[string, () => Parameters<typeof startKit>[0]]];
  const kit = await startWithNotes(on());
  const runner = kit.dataSource.createQueryRunner();
  await runner.startTransaction();
  const { manager } = runner;
  await kit.bus.emit(OrderPaid, { orderId: 'o1' }, { manager });
  await kit.events.drain({ manager });
  await kit.events.emit(OrderPaid, { orderId: 'o2' });
  const drain = kit.events.drain();
  await expect(drain).rejects.toBeInstanceOf(DrainBlockedError);
  await expect(drain).rejects.toThrow('drain in it: drain({ manager })');
  await runner.rollbackTransaction();
  await runner.release();
  expect(await kit.events.drain()).toMatchObject([{ event: { data: { orderId: 'o2' } } }]);
});

it('transactions in a joined one may be open at once, and be committed apart', async () => {
  const kit = await startWithNotes(DATABASES[0]![1]());
  const { dataSource } = kit;
  await kit.events.rolledBack(async () => {
    const [first, second] = [dataSource.createQueryRunner(), dataSource.createQueryRunner()];
    await first.startTransaction();
    await second.startTransaction();
    await first.query("INSERT INTO notes (text) VALUES ('first')");
    await first.commitTransaction();
    await second.query("INSERT INTO notes (text) VALUES ('second')");
    await second.commitTransaction();
    expect(await notes(kit)).toEqual(['first', 'second']);
    await first.startTransaction();
    await second.startTransaction();
    await first.rollbackTransaction();
    await expect(second.commitTransaction()).rejects.toThrow('overlapped');
    await second.rollbackTransaction();
    await second.release();
    await expect(second.query('SELECT 1')).rejects.toThrow('released');
    expect(await notes(kit)).toEqual(['first', 'second']);
  });
});

it('in memory, rolledBack() takes out what was emitted', async () => {
  const { events, dataSource, bus } = await startKit({
    providers: [onEvent(OrderPaid, { id: 'a' }, vi.fn())],
  });
  await events.rolledBack(async () => {
    await dataSource.transaction(() => bus.emit(OrderPaid, { orderId: 'o1' }));
    events.expectEmitted(OrderPaid);
  });
  events.expectNotEmitted(OrderPaid);
  expect(await events.drain()).toEqual([]);
});
