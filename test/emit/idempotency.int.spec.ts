import { defineEvent } from 'nestjs-durable-events';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, sql, type TestDatabase } from '../support/database.js';
import { startEmitApp, type EmitApp } from '../support/emit-app.js';
import { recordSignals } from '../support/signals.js';
import { deferred, eventually } from '../support/wait.js';

const OrderPlaced = defineEvent<string>('order.placed');

let database: TestDatabase;
let app: EmitApp;

beforeAll(async () => {
  database = await createTestDatabase();
  app = await startEmitApp(database.url, { events: { standalone: 'allow' } });
});
afterEach(() => app.clear());
afterAll(async () => {
  await app.close();
  await database.drop();
});

const emit = (data: string, idempotencyKey: string) =>
  app.bus.emit(OrderPlaced, data, { idempotencyKey });

/** Resolves once so many statements of this database wait for other transactions. */
function waiting(count: number): Promise<unknown> {
  return eventually(async () => (await sql.lockWaits(app.dataSource)).length === count, {
    what: `${count} transactions wait for a key`,
  });
}

describe('an idempotency key', () => {
  it('makes a second emit of one transaction a duplicate with the first one’s id', async () => {
    const [first, second] = await app.dataSource.transaction(async () => [
      await emit('first', 'k1'),
      await emit('second', 'k1'),
    ]);
    expect(first).toMatchObject({ duplicate: false });
    expect(second).toEqual({ ...first, duplicate: true });
    expect(await app.emitted()).toEqual(['first']);
  });

  it('makes a later emit a duplicate, in a transaction and on its own', async () => {
    const first = await app.dataSource.transaction(() => emit('first', 'k1'));
    const signals = recordSignals(app.signals, 'event.emitted');
    expect(await app.dataSource.transaction(() => emit('second', 'k1'))).toEqual({
      ...first,
      duplicate: true,
    });
    expect(await emit('third', 'k1')).toEqual({ ...first, duplicate: true });
    expect(signals.map(({ duplicate }) => duplicate)).toEqual([true, true]);
    expect(await app.emitted()).toEqual(['first']);
  });

  it('still holds when the first event has left the outbox', async () => {
    const { eventId } = await emit('first', 'k1');
    await app.dataSource.query('DELETE FROM events_outbox');
    expect(await emit('second', 'k1')).toMatchObject({ eventId, duplicate: true });
    expect(await app.emitted()).toEqual([]);
  });

  it('is free again if its transaction, or its savepoint, rolls back', async () => {
    const failing = app.dataSource.transaction(async () => {
      await emit('lost', 'k1');
      throw new Error('changed my mind');
    });
    await expect(failing).rejects.toThrow('changed my mind');
    await app.dataSource.transaction(async (manager) => {
      const nested = manager.transaction(async () => {
        await emit('lost too', 'k1');
        throw new Error('only this');
      });
      await expect(nested).rejects.toThrow('only this');
      expect(await emit('kept', 'k1')).toMatchObject({ duplicate: false });
    });
    expect(await app.emitted()).toEqual(['kept']);
  });

  it.each([
    ['commits: the second is a duplicate', true],
    ['rolls back: the second one wins', false],
  ])('makes a concurrent transaction wait until the first one %s', async (_how, commits) => {
    const finish = deferred();
    const started = deferred<{ eventId: string }>();
    const first = app.dataSource.transaction(async () => {
      started.resolve(await emit('first', 'k1'));
      await finish.promise;
      if (!commits) throw new Error('changed my mind');
    });
    const { eventId } = await started.promise;
    const second = app.dataSource.transaction(() => emit('second', 'k1'));
    await waiting(1);
    finish.resolve();
    await first.catch(() => undefined);
    const emitted = await second;
    expect(emitted.duplicate).toBe(commits);
    expect(emitted.eventId === eventId).toBe(commits);
    expect(await app.emitted()).toEqual([commits ? 'first' : 'second']);
  });

  it('yields one event of many that are emitted at once', async () => {
    const emitted = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        app.dataSource.transaction(() => emit(`${index}`, 'k1')),
      ),
    );
    expect(emitted.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
    expect(new Set(emitted.map(({ eventId }) => eventId)).size).toBe(1);
    expect(await app.emitted()).toHaveLength(1);
  });

  it('counts within one emitMany: the first event with a key has it', async () => {
    const before = await emit('before', 'known');
    const emitted = await app.dataSource.transaction(() =>
      app.bus.emitMany([
        [OrderPlaced, 'a', { idempotencyKey: 'new' }],
        [OrderPlaced, 'b', { idempotencyKey: 'known' }],
        [OrderPlaced, 'c', { idempotencyKey: 'new' }],
        [OrderPlaced, 'd'],
        [OrderPlaced, 'e', { idempotencyKey: 'other' }],
      ]),
    );
    expect(emitted.map(({ duplicate }) => duplicate)).toEqual([false, true, true, false, false]);
    expect(emitted[1]?.eventId).toBe(before.eventId);
    expect(emitted[2]?.eventId).toBe(emitted[0]?.eventId);
    expect(await app.emitted()).toEqual(['before', 'a', 'd', 'e']);
  });

  it('lets transactions that claim the same keys in different orders both go on', async () => {
    const claims = (keys: string[]) =>
      app.dataSource.transaction(() =>
        app.bus.emitMany(keys.map((key) => [OrderPlaced, key, { idempotencyKey: key }] as const)),
      );
    // Both must wait for the key in the middle, and have claimed what comes before it.
    const finish = deferred();
    const claimed = deferred();
    const middle = app.dataSource.transaction(async () => {
      await emit('m', 'm');
      claimed.resolve();
      await finish.promise;
      throw new Error('changed my mind');
    });
    await claimed.promise;
    const both = [claims(['a', 'm', 'z']), claims(['z', 'm', 'a'])];
    await waiting(2);
    finish.resolve();
    await expect(middle).rejects.toThrow('changed my mind');
    const duplicates = (await Promise.all(both)).flat().filter(({ duplicate }) => duplicate);
    expect(duplicates).toHaveLength(3);
    expect(await app.emitted()).toHaveLength(3);
  });

  it('belongs to a namespace', async () => {
    const other = await startEmitApp(database.url, {
      events: { namespace: 'other', standalone: 'allow' },
    });
    try {
      await emit('ours', 'k1');
      const theirs = await other.bus.emit(OrderPlaced, 'theirs', { idempotencyKey: 'k1' });
      expect(theirs.duplicate).toBe(false);
    } finally {
      await other.close();
    }
    expect(await app.emitted()).toEqual(['ours', 'theirs']);
  });

  it('is stored as it is, whatever it is made of', async () => {
    const keys = ['a', 'A', ' a', 'ä', 'a,b', '{"a"}', "'; --", 'NULL', '😀'.repeat(256)];
    for (const key of keys) expect(await emit(key, key)).toMatchObject({ duplicate: false });
    for (const key of keys) expect(await emit(key, key)).toMatchObject({ duplicate: true });
    expect(await app.emitted()).toEqual(keys);
  });
});
