import { Injectable } from '@nestjs/common';
import {
  EventBus,
  EventHandler,
  type DomainEvent,
  type HandlerContext,
} from 'nestjs-durable-events';
import { OrderPlaced } from '../orders/orders.events.js';
import { Reservation } from './reservation.entity.js';
import { StockReserved } from './stock.events.js';

@Injectable()
export class StockHandler {
  constructor(private readonly events: EventBus) {}

  /**
   * Rows without a key of their own, so that a second run would reserve twice. It can't: they, the
   * event and the delivery's completion are one transaction.
   */
  @EventHandler(OrderPlaced, { id: 'stock.reserve', transactional: true })
  async reserve(
    { data: { orderId, items } }: DomainEvent<typeof OrderPlaced>,
    { manager }: HandlerContext,
  ): Promise<void> {
    const reservations = items.map(({ sku, quantity }) => ({ orderId, sku, quantity }));
    await manager.insert(Reservation, reservations);
    const pieces = items.reduce((sum, { quantity }) => sum + quantity, 0);
    await this.events.emit(StockReserved, { orderId, pieces });
  }
}
