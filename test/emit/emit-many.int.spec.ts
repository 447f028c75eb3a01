import {
  defineEvent,
  InvalidEventDataError,
  InvalidOptionsError,
  UnknownEventError,
} from 'nestjs-durable-events';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { QueryRecorder, startEmitApp, type EmitApp } from '../support/emit-app.js';
import { deferred } from '../support/wait.js';

const OrderPlaced = defineEvent<string>('order.placed');
const StockReserved = defineEvent('stock.reserved', {
  schema: z.object({ sku: z.string(), quantity: z.number() }),
});

let database: TestDatabase;
let app: EmitApp;
const recorder = new QueryRecorder();

beforeAll(async () => {
  database = await createTestDatabase();
  app = await startEmitApp(database.url, { dataSource: recorder.options });
});
afterEach(() => app.clear());
afterAll(async () => {
  await app.close();
  await database.drop();
});

describe('emitMany', () => {
  it('writes all events with one INSERT and nothing else, in their order', async () => {
    const [emitted, statements] = await app.dataSource.transaction(async ({ queryRunner }) => {
      recorder.start(queryRunner);
      const result = await app.bus.emitMany([
        [OrderPlaced, 'o1'],
        [StockReserved, { sku: 'A1', quantity: 2 }, { key: 'A1' }],
        [OrderPlaced, 'o2'],
        ['order.placed', 'o3'],
      ]);
      return [result, [...recorder.queries]];
    });
    expect(statements).toEqual([expect.stringMatching(/^INSERT INTO [`"]events_outbox/)]);
    const rows = await app.outbox();
    expect(rows.map(({ data }) => data)).toEqual(['o1', { sku: 'A1', quantity: 2 }, 'o2', 'o3']);
    expect(rows[1]?.key).toBe('A1');
    expect(emitted.map(({ eventId }) => eventId)).toEqual(rows.map(({ event_id }) => event_id));
    expect(emitted.map(({ name }) => name)).toEqual([
      'order.placed',
      'stock.reserved',
      'order.placed',
      'order.placed',
    ]);
  });

  it('emit costs one statement', async () => {
    // Beside it, the library tells relays of what was committed before.
    await app.dataSource.transaction(async ({ queryRunner }) => {
      recorder.start(queryRunner);
      await app.bus.emit(OrderPlaced, 'o1');
      expect(recorder.queries).toHaveLength(1);
    });
  });

  it('gives ids in the order of the events, however long their checks take', async () => {
    const slow = deferred();
    const Slow = defineEvent('slow', {
      schema: z.string().refine(async () => {
        await slow.promise;
        return true;
      }),
    });
    const emitted = await app.dataSource.transaction(() => {
      const emitting = app.bus.emitMany([
        [Slow, 'first'],
        [OrderPlaced, 'second'],
        [OrderPlaced, 'third'],
      ]);
      slow.resolve();
      return emitting;
    });
    const ids = emitted.map(({ eventId }) => eventId);
    expect(ids.toSorted()).toEqual(ids);
    expect(await app.emitted()).toEqual(['first', 'second', 'third']);
  });

  it('writes none if one is refused; the first bad one decides', async () => {
    const check = deferred();
    const SlowlyRefused = defineEvent('slowly.refused', {
      schema: z.string().refine(
        async () => {
          await check.promise;
          return false;
        },
        { error: 'refused at last' },
      ),
    });
    await app.dataSource.transaction(async () => {
      const emitting = app.bus.emitMany([
        [OrderPlaced, 'o1'],
        [SlowlyRefused, 'x'],
        [StockReserved, { sku: 'A1', quantity: 'many' as never }],
      ]);
      check.resolve();
      await expect(emitting).rejects.toThrow('refused at last');
      await expect(
        app.bus.emitMany([
          [OrderPlaced, 'o1'],
          [StockReserved, { sku: 'A1', quantity: 'many' as never }],
        ]),
      ).rejects.toBeInstanceOf(InvalidEventDataError);
      await expect(
        app.bus.emitMany([
          ['order.placed', 'o1'],
          ['order.plcaed', 'o2'],
        ]),
      ).rejects.toBeInstanceOf(UnknownEventError);
    });
    expect(await app.emitted()).toEqual([]);
  });

  it('writes none if the transaction rolls back', async () => {
    const failing = app.dataSource.transaction(async () => {
      await app.bus.emitMany([
        [OrderPlaced, 'o1'],
        [OrderPlaced, 'o2'],
      ]);
      throw new Error('changed my mind');
    });
    await expect(failing).rejects.toThrow('changed my mind');
    expect(await app.emitted()).toEqual([]);
  });

  it('of nothing does nothing, also outside a transaction', async () => {
    recorder.start();
    expect(await app.bus.emitMany([])).toEqual([]);
    expect(recorder.matching(/events_outbox/)).toEqual([]);
  });

  it('takes more events than one statement can hold, all or none, in order', async () => {
    const entries = Array.from({ length: 5_000 }, (_, index) => [OrderPlaced, `${index}`] as const);
    const failing = app.dataSource.transaction(async () => {
      await app.bus.emitMany(entries);
      throw new Error('changed my mind');
    });
    await expect(failing).rejects.toThrow('changed my mind');
    expect(await app.emitted()).toEqual([]);
    recorder.start();
    const emitted = await app.dataSource.transaction(() => app.bus.emitMany(entries));
    const statements = recorder.matching(/^INSERT/).length;
    expect(statements).toBeGreaterThan(1);
    expect(statements).toBeLessThanOrEqual(5);
    const rows = await app.outbox();
    expect(rows.map(({ data }) => data)).toEqual(entries.map(([, data]) => data));
    expect(rows.map(({ event_id }) => event_id)).toEqual(emitted.map(({ eventId }) => eventId));
  });

  it('refuses events with different managers', async () => {
    await app.dataSource.transaction(async (manager) => {
      await expect(
        app.bus.emitMany([
          [OrderPlaced, 'o1', { manager }],
          [OrderPlaced, 'o2'],
        ]),
      ).rejects.toBeInstanceOf(InvalidOptionsError);
      await app.bus.emitMany([
        [OrderPlaced, 'o3', { manager }],
        [OrderPlaced, 'o4', { manager }],
      ]);
    });
    expect(await app.emitted()).toEqual(['o3', 'o4']);
  });
});
