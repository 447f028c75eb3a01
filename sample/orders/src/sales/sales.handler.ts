import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { EventHandler, type DomainEvent } from 'nestjs-durable-events';
import type { Repository } from 'typeorm';
import { OrderPlaced } from '../orders/orders.events.js';
import { Sale } from './sale.entity.js';

@Injectable()
export class SalesHandler {
  constructor(@InjectRepository(Sale) private readonly sales: Repository<Sale>) {}

  /** A repeat does no harm: an order is one sale. */
  @EventHandler(OrderPlaced, { id: 'sales.record' })
  async record({ data: { orderId, total } }: DomainEvent<typeof OrderPlaced>): Promise<void> {
    await this.sales.upsert({ orderId, total }, ['orderId']);
  }
}
