import { randomUUID } from 'node:crypto';
import { Injectable, NotFoundException } from '@nestjs/common';
import { EventBus, EventLog, type EventHistory } from 'nestjs-durable-events';
import { DataSource } from 'typeorm';
import { Order } from './order.entity.js';
import { OrderPlaced } from './orders.events.js';
import type { OrderItem, PlaceOrder } from './place-order.schema.js';

@Injectable()
export class OrdersService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly events: EventBus,
    private readonly log: EventLog,
  ) {}

  /** Saves the order and its event in one transaction: both exist, or neither does. */
  place({ customer, items, fail }: PlaceOrder): Promise<{ id: string; eventId: string }> {
    return this.dataSource.transaction(async (manager) => {
      const id = randomUUID();
      const total = totalOf(items);
      await manager.insert(Order, { id, customer, items, total });
      const { eventId } = await this.events.emit(OrderPlaced, {
        orderId: id,
        customer,
        items,
        total,
      });
      if (fail) throw new Error('Failed as asked for: neither order nor event is saved');
      return { id, eventId };
    });
  }

  latest(): Promise<Order[]> {
    return this.dataSource.manager.find(Order, { order: { placedAt: 'DESC' }, take: 20 });
  }

  async withTimeline(id: string): Promise<Order & { timeline: EventHistory[] }> {
    const order = await this.dataSource.manager.findOneBy(Order, { id });
    if (order === null) throw new NotFoundException(`There is no order ${id}`);
    return Object.assign(order, { timeline: await this.log.ofEntity('order', id) });
  }
}

function totalOf(items: readonly OrderItem[]): number {
  const cents = items.reduce((sum, { quantity, price }) => sum + quantity * price * 100, 0);
  return Math.round(cents) / 100;
}
