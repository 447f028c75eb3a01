import { Column, CreateDateColumn, Entity, PrimaryColumn } from 'typeorm';
import { money } from '../storage/money.js';
import type { OrderItem } from './place-order.schema.js';

@Entity('orders')
export class Order {
  @PrimaryColumn('uuid')
  id!: string;

  @Column('text')
  customer!: string;

  @Column('simple-json')
  items!: OrderItem[];

  @Column(money)
  total!: number;

  @CreateDateColumn()
  placedAt!: Date;
}
