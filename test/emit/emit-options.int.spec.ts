import {
  defineEvent,
  EventDataTooLargeError,
  InvalidEventDataError,
  InvalidOptionsError,
  UnserializableEventDataError,
  type EmitOptions,
} from 'nestjs-durable-events';
import type { EntityManager } from 'typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createTestDatabase, sql, type TestDatabase } from '../support/database.js';
import { startEmitApp, type EmitApp } from '../support/emit-app.js';

const OrderPlaced = defineEvent('order.placed', {
  version: 3,
  schema: z.object({
    orderId: z.string(),
    total: z.coerce.number(),
    currency: z.string().default('EUR'),
    placedAt: z.date().optional(),
  }),
  key: (data) => data.orderId,
  entity: (data) => ({ type: 'order', id: data.orderId }),
});
const Bare = defineEvent('bare', { category: 'application' });

let database: TestDatabase;
let app: EmitApp;

beforeAll(async () => {
  database = await createTestDatabase();
  app = await startEmitApp(database.url, {
    events: { namespace: 'shop', standalone: 'allow', maxDataBytes: 1_000 },
  });
});
afterEach(() => app.clear());
afterAll(async () => {
  await app.close();
  await database.drop();
});

/** Emits one event and returns its row. */
async function rowOf(data: unknown, options?: EmitOptions) {
  await app.bus.emit(Bare, data, options);
  const [row] = await app.outbox();
  return row!;
}

describe('a row of the outbox', () => {
  it('holds what the definition and its schema say', async () => {
    const emitted = await app.bus.emit(OrderPlaced, { orderId: 'o1', total: '42' });
    const [row] = await app.outbox();
    expect(row).toMatchObject({
      namespace: 'shop',
      event_id: emitted.eventId,
      name: 'order.placed',
      version: 3,
      category: 'domain',
      data: { orderId: 'o1', total: 42, currency: 'EUR' },
      metadata: null,
      headers: null,
      key: 'o1',
      entity_type: 'order',
      entity_id: 'o1',
      entity_version: null,
      actor_type: null,
      actor_id: null,
      causation_id: null,
      correlation_id: null,
      scheduled_at: null,
    });
    expect(emitted).toEqual({
      eventId: row?.event_id,
      name: 'order.placed',
      version: 3,
      duplicate: false,
    });
  });

  it('holds what the options say, before what the definition says', async () => {
    const occurredAt = new Date('2024-02-29T12:34:56.789Z');
    await app.bus.emit(
      OrderPlaced,
      { orderId: 'o1', total: 1 },
      {
        key: 'k1',
        entity: { type: 'basket', id: 'b1', version: 7 },
        actor: { type: 'user', id: 'u1' },
        metadata: { ip: '::1', at: new Date(0), nested: [1] },
        causationId: 'c1',
        correlationId: 'r1',
        occurredAt,
      },
    );
    const [row] = await app.outbox();
    expect(row).toMatchObject({
      key: 'k1',
      entity_type: 'basket',
      entity_id: 'b1',
      entity_version: 7,
      actor_type: 'user',
      actor_id: 'u1',
      metadata: { ip: '::1', at: '1970-01-01T00:00:00.000Z', nested: [1] },
      causation_id: 'c1',
      correlation_id: 'r1',
      occurred_at: occurredAt,
    });
  });

  it.each([[null], [false], [0], ['text'], [[1, 'two', null]], [{}]])(
    'holds %j as data',
    async (data) => {
      expect((await rowOf(data)).data).toEqual(data);
    },
  );

  it('says when the event occurred by the database’s clock, also late in a long transaction', async () => {
    const clock = async (through: Pick<EntityManager, 'query'>) => {
      const [row] = await through.query<{ now: Date }[]>(`SELECT ${sql.now} AS now`);
      return row!.now.getTime();
    };
    const times: number[] = [];
    await app.dataSource.transaction(async (manager) => {
      for (const data of [1, 2]) {
        times.push(await clock(manager));
        // Times of JavaScript have no more than milliseconds.
        await manager.query(`SELECT ${sql.sleep(0.002)}`);
        await app.bus.emit(Bare, data);
      }
      times.push(await clock(manager));
    });
    const occurred = (await app.outbox()).map(({ occurred_at }) => occurred_at.getTime());
    expect(occurred[0]).toBeGreaterThan(times[0]!);
    expect(occurred[0]).toBeLessThanOrEqual(times[1]!);
    expect(occurred[1]).toBeGreaterThan(times[1]!);
    expect(occurred[1]).toBeLessThanOrEqual(times[2]!);
  });

  it.each([
    [250, 250],
    ['30s', 30_000],
    ['7d', 7 * 86_400_000],
  ] as const)('is due later by a delay of %j', async (delay, ms) => {
    await app.bus.emit(Bare, {}, { delay });
    const [row] = await app.outbox();
    const [{ latest }] = await app.dataSource.query<[{ latest: Date }]>(
      `SELECT ${sql.after(ms)} AS latest`,
    );
    const due = row!.scheduled_at!.getTime();
    expect(due).toBeGreaterThanOrEqual(row!.occurred_at.getTime() + ms - 1);
    expect(due).toBeLessThanOrEqual(latest.getTime());
  });

  it('is due at once with a delay of nothing', async () => {
    expect((await rowOf({}, { delay: 0 })).scheduled_at).toBeNull();
    await app.clear();
    expect((await rowOf({}, { delay: '0s' })).scheduled_at).toBeNull();
  });

  it('takes what SQL would take for its own', async () => {
    const nasty = `'; DROP TABLE events_outbox; -- $1 ? " \\`;
    const row = await rowOf({ [nasty]: nasty }, { key: nasty, metadata: { [nasty]: nasty } });
    expect(row).toMatchObject({
      data: { [nasty]: nasty },
      key: nasty,
      metadata: { [nasty]: nasty },
    });
  });
});

describe('refused with nothing written', () => {
  /** What emit rejects with, inside a transaction that goes on and commits. */
  async function refusal(emit: () => Promise<unknown>): Promise<unknown> {
    const error = await app.dataSource.transaction(() =>
      emit().then(
        () => 'was not refused',
        (thrown: unknown) => thrown,
      ),
    );
    expect(await app.outbox()).toEqual([]);
    return error;
  }

  it('data that does not fit its schema, with every issue', async () => {
    const error = await refusal(() =>
      app.bus.emit(OrderPlaced, { orderId: 1 as never, total: 'x' }),
    );
    expect(error).toBeInstanceOf(InvalidEventDataError);
    expect((error as InvalidEventDataError).issues.map(({ path }) => path)).toEqual([
      'orderId',
      'total',
    ]);
  });

  it.each<[row: string, what: string, data: unknown, options: EmitOptions, path: string]>([
    ['B1', 'a NUL in the data', { a: ['\0'] }, {}, 'data.a[0]'],
    ['B2', 'a lone surrogate in the data', { a: '\uD83D' }, {}, 'data.a'],
    ['B3', 'a Map in the data', { a: new Map() }, {}, 'data.a'],
    ['B3', 'data without a value', undefined, {}, 'data'],
    ['B4', 'an own __proto__ in the data', JSON.parse('{"__proto__":1}'), {}, 'data.__proto__'],
    ['B1', 'a NUL in the metadata', {}, { metadata: { a: '\0' } }, 'metadata.a'],
    ['B3', 'NaN in the metadata', {}, { metadata: { a: Number.NaN } }, 'metadata.a'],
    ['B1', 'a NUL in the key', {}, { key: 'a\0' }, 'key'],
    ['B2', 'a lone surrogate in an id', {}, { entity: { type: 'a', id: '\uD83D' } }, 'entity.id'],
    ['B1', 'a NUL in the actor', {}, { actor: { type: 'a\0', id: 'b' } }, 'actor.type'],
    ['B1', 'an empty correlation id', {}, { correlationId: '' }, 'correlationId'],
    ['B1', 'a causation id that is too long', {}, { causationId: 'x'.repeat(513) }, 'causationId'],
    ['B1', 'an empty idempotency key', {}, { idempotencyKey: '' }, 'idempotencyKey'],
    ['B3', 'a key that is a number', {}, { key: 5 as never }, 'key'],
  ])('%s: %s', async (_row, _what, data, options, path) => {
    const error = await refusal(() => app.bus.emit(Bare, data, options));
    expect(error).toBeInstanceOf(UnserializableEventDataError);
    expect((error as UnserializableEventDataError).path).toBe(path);
  });

  it('B5: data larger than maxDataBytes, and metadata on its own account', async () => {
    const big = { text: 'x'.repeat(1_000) };
    for (const attempt of [
      () => app.bus.emit(Bare, big),
      () => app.bus.emit(Bare, {}, { metadata: big }),
    ]) {
      const error = await refusal(attempt);
      expect(error).toBeInstanceOf(EventDataTooLargeError);
      expect(error).toMatchObject({ eventName: 'bare', bytes: 1_011, maxBytes: 1_000 });
    }
  });

  it.each<[option: string, options: EmitOptions]>([
    ['emit.occurredAt', { occurredAt: new Date(Number.NaN) }],
    ['emit.occurredAt', { occurredAt: '2024-01-01' as never }],
    ['emit.occurredAt', { occurredAt: new Date(8.64e15) }],
    ['emit.occurredAt', { occurredAt: new Date(-8.64e15) }],
    ['emit.delay', { delay: -1 }],
    ['emit.delay', { delay: 'soon' as never }],
    ['emit.delay', { delay: 1e300 }],
    ['emit.entity.version', { entity: { type: 'a', id: 'b', version: -1 } }],
    ['emit.entity.version', { entity: { type: 'a', id: 'b', version: 1.5 } }],
    ['emit.entity.version', { entity: { type: 'a', id: 'b', version: 2 ** 31 } }],
  ])('a wrong %s: %o', async (option, options) => {
    const error = await refusal(() => app.bus.emit(Bare, {}, options));
    expect(error).toBeInstanceOf(InvalidOptionsError);
    expect((error as InvalidOptionsError).option).toBe(option);
  });
});

it('B5: data of exactly maxDataBytes is taken', async () => {
  const text = 'x'.repeat(1_000 - '{"text":""}'.length);
  expect((await rowOf({ text })).data).toEqual({ text });
});
