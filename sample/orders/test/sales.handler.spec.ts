import { randomUUID } from 'node:crypto';
import { buildEvent } from 'nestjs-durable-events/testing';
import type { Repository } from 'typeorm';
import { expect, it, vi } from 'vitest';
import { OrderPlaced } from '../src/orders/orders.events.js';
import type { Sale } from '../src/sales/sale.entity.js';
import { SalesHandler } from '../src/sales/sales.handler.js';

it('records an order as one sale', async () => {
  const upsert = vi.fn<Repository<Sale>['upsert']>();
  const handler = new SalesHandler({ upsert } as unknown as Repository<Sale>);
  const orderId = randomUUID();
  const order = { orderId, customer: 'ada@example.com', items: [], total: 42 };
  await handler.record(buildEvent(OrderPlaced, order));
  expect(upsert).toHaveBeenCalledExactlyOnceWith({ orderId, total: 42 }, ['orderId']);
});
