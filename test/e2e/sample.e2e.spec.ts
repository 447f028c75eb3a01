import type { INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Signals, type EventHistory } from 'nestjs-durable-events';
import { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AppModule } from '../../sample/orders/src/app.module.js';
import { exampleOrder } from '../../sample/orders/src/orders/place-order.schema.js';
import type { Storage } from '../../sample/orders/src/storage/storage.js';
import { createMariadbDatabase, type TestDatabase } from '../support/database.js';
import { countSignals } from '../support/signals.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';

interface PlacedOrder {
  readonly id: string;
  readonly eventId: string;
}

const PLACES = ['PostgreSQL alone', 'PostgreSQL and Redis', 'MariaDB and Redis'] as const;

describe.each(PLACES)('the orders sample, on %s', (where) => {
  let backends: TestBackends;
  let mariadb: TestDatabase | undefined;
  let app: INestApplication;
  let base: string;

  beforeAll(async () => {
    backends = await createTestBackends();
    if (where.startsWith('MariaDB')) mariadb = await createMariadbDatabase();
    const storage: Storage = {
      description: where,
      database: {
        type: mariadb === undefined ? 'postgres' : 'mariadb',
        url: (mariadb ?? backends.database).url,
      },
      events: where.endsWith('Redis') ? { queue: backends.redis } : {},
    };
    app = await NestFactory.create(AppModule.forRoot(storage), {
      logger: false,
      abortOnError: false,
    });
    await app.listen(0, '127.0.0.1');
    base = await app.getUrl();
  });

  afterAll(async () => {
    await app.close();
    await backends.drop();
    await mariadb?.drop();
  });

  it('brings an order to three handlers, and shows its way', async () => {
    const completed = countSignals(app.get(Signals), 'delivery.completed', 3);
    const relayed = countSignals(app.get(Signals), 'relay.moved', 2);
    const response = await post(exampleOrder);
    expect(response.status).toBe(201);
    const { id, eventId } = (await response.json()) as PlacedOrder;
    await Promise.all([completed, relayed]);

    const answer = await fetch(`${base}/orders/${id}`);
    const order = (await answer.json()) as { timeline: EventHistory[] };
    expect(order).toMatchObject({ id, ...exampleOrder, total: 10 });
    expect(order.timeline).toMatchObject([
      {
        name: 'order.placed',
        eventId,
        position: 1,
        deliveries: [
          {
            handler: 'mails.confirmation',
            status: 'completed',
            attempts: 2,
            lastError: expect.stringContaining('by design') as string,
            completedAt: expect.any(String) as string,
          },
          { handler: 'sales.record', status: 'completed', attempts: 1 },
          { handler: 'stock.reserve', status: 'completed', attempts: 1 },
        ],
      },
      { name: 'stock.reserved', position: 2, causationId: eventId, correlationId: eventId },
    ]);
    expect(await count('mails')).toBe(1);
    expect(await count('reservations')).toBe(1);
    expect(await count('sales')).toBe(1);
  });

  it.each([
    ['no body', undefined, 'customer: Invalid input'],
    ['no JSON', '{"customer":', 'JSON'],
    ['no address', { ...exampleOrder, customer: 'ada' }, 'customer: Invalid email'],
    ['no items', { ...exampleOrder, items: [] }, 'items: Too small'],
    ['a quantity of 0', withItem({ quantity: 0 }), 'items.0.quantity: Too small'],
    ['a negative price', withItem({ price: -1 }), 'items.0.price: Too small'],
    ['half a cent', withItem({ price: 0.005 }), 'items.0.price'],
    ['an unknown property', { ...exampleOrder, gift: true }, 'gift'],
  ])('answers 400 to %s, and saves nothing', async (_what, body, reason) => {
    const before = await countSaved();
    const response = await post(body);
    expect(response.status).toBe(400);
    expect(await response.text()).toContain(reason);
    expect(await countSaved()).toEqual(before);
  });

  it('saves neither order nor event where the transaction fails after the emit', async () => {
    const before = await countSaved();
    const response = await post({ ...exampleOrder, fail: true });
    expect(response.status).toBe(500);
    expect(await countSaved()).toEqual(before);
  });

  it.each(['5c1a2f0e-8d4b-4f6e-9a3c-7b2d1e0f9a8c', '42'])(
    'answers 404 to the unknown order %s',
    async (id) => {
      expect((await fetch(`${base}/orders/${id}`)).status).toBe(404);
    },
  );

  it('lists what it offers, and the latest orders', async () => {
    expect(await (await fetch(base)).json()).toHaveProperty('POST /orders', exampleOrder);
    expect(await (await fetch(`${base}/orders`)).json()).toMatchObject([exampleOrder]);
  });

  function post(body: unknown): Promise<Response> {
    return fetch(`${base}/orders`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: typeof body === 'string' ? body : (JSON.stringify(body) ?? null),
    });
  }

  async function countSaved(): Promise<{ orders: number; emitted: number; logged: number }> {
    return {
      orders: await count('orders'),
      emitted: await count('outbox', 'events_'),
      logged: await count('log', 'events_'),
    };
  }

  async function count(table: string, prefix = 'orders_sample_'): Promise<number> {
    const sql = `SELECT count(*) AS count FROM ${prefix}${table}`;
    const [row] = await app.get(DataSource).query<{ count: unknown }[]>(sql);
    return Number(row!.count);
  }
});

function withItem(change: object): object {
  return { ...exampleOrder, items: [{ ...exampleOrder.items[0], ...change }] };
}
