import type { EventHistory } from 'nestjs-durable-events';
import { expect, it } from 'vitest';
import { OrderPlaced } from '../src/orders/orders.events.js';
import { exampleOrder } from '../src/orders/place-order.schema.js';
import { startSample } from './start-sample.js';

/** The application behind a port, with handlers run by the time a request is answered. */
async function listen() {
  const { app, events } = await startSample({ mode: 'inline', retries: 'all' });
  await app.listen(0, '127.0.0.1');
  const url = await app.getUrl();
  const post = (order: object) =>
    fetch(`${url}/orders`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(order),
    });
  return { url, post, events };
}

it('shows an order with what became of its events', async () => {
  const { url, post } = await listen();
  const placed = await post(exampleOrder);
  expect(placed.status).toBe(201);
  const { id } = (await placed.json()) as { id: string };
  const shown = (await (await fetch(`${url}/orders/${id}`)).json()) as {
    total: number;
    timeline: EventHistory[];
  };
  expect(shown.total).toBe(10);
  expect(
    shown.timeline.map(({ name, deliveries }) => [
      name,
      ...deliveries.map(({ handler, status, attempts }) => `${handler} ${status} ${attempts}`),
    ]),
  ).toEqual([
    [
      'order.placed',
      'mails.confirmation completed 2',
      'sales.record completed 1',
      'stock.reserve completed 1',
    ],
    ['stock.reserved'],
  ]);
});

it('refuses an order without items, and emits nothing', async () => {
  const { post, events } = await listen();
  expect((await post({ ...exampleOrder, items: [] })).status).toBe(400);
  events.expectNotEmitted(OrderPlaced);
});
