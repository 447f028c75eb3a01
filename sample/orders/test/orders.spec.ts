import { DataSource } from 'typeorm';
import { describe, expect, it } from 'vitest';
import { Mail } from '../src/mails/mail.entity.js';
import { Order } from '../src/orders/order.entity.js';
import { OrderPlaced } from '../src/orders/orders.events.js';
import { OrdersService } from '../src/orders/orders.service.js';
import { exampleOrder } from '../src/orders/place-order.schema.js';
import { Sale } from '../src/sales/sale.entity.js';
import { Reservation } from '../src/stock/reservation.entity.js';
import { StockReserved } from '../src/stock/stock.events.js';
import { startSample } from './start-sample.js';

const order = { ...exampleOrder, fail: false };

describe('an order', () => {
  it('is saved together with its event', async () => {
    const { app, events } = await startSample();
    const { id } = await app.get(OrdersService).place(order);
    events.expectEmitted(OrderPlaced, { orderId: id, customer: 'ada@example.com', total: 10 });
    expect(await app.get(DataSource).manager.count(Order)).toBe(1);
  });

  it('that fails leaves neither', async () => {
    const { app, events } = await startSample();
    await expect(app.get(OrdersService).place({ ...order, fail: true })).rejects.toThrow(
      'as asked',
    );
    events.expectNotEmitted(OrderPlaced);
    expect(await app.get(DataSource).manager.count(Order)).toBe(0);
  });

  it('is a sale, and reserves stock once, with an event of its own', async () => {
    const { app, events } = await startSample();
    const { id, eventId } = await app.get(OrdersService).place(order);
    await events.drain();
    events.expectDelivered('sales.record', { orderId: id });
    events.expectDelivered('stock.reserve');
    events.expectEmitted(StockReserved, { orderId: id, pieces: 2 }, { times: 1 });
    expect(events.emitted(StockReserved)[0]?.causationId).toBe(eventId);
    const { manager } = app.get(DataSource);
    expect(await manager.find(Sale)).toEqual([{ orderId: id, total: 10 }]);
    expect(await manager.find(Reservation)).toMatchObject([{ orderId: id, quantity: 2 }]);
  });

  it('gets one mail, although the first attempt fails after it was sent', async () => {
    const { app, events } = await startSample();
    await app.get(OrdersService).place(order);
    await events.drain();
    expect(events.deliveries('mails.confirmation')).toMatchObject([
      { outcome: 'failed', attempt: 1 },
    ]);
    // The backoff.
    await events.advance('500ms');
    expect(await events.drain()).toMatchObject([
      { handler: 'mails.confirmation', outcome: 'completed', attempt: 2 },
    ]);
    expect(await app.get(DataSource).manager.find(Mail)).toMatchObject([
      { recipient: 'ada@example.com', subject: expect.stringContaining('over 10.00') as string },
    ]);
  });
});
