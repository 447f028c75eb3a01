import { Column, CreateDateColumn, Entity, PrimaryColumn } from 'typeorm';
import { money } from '../storage/money.js';
import type { OrderItem } from './place-order.schema.js';

@Entity('orders')
export class Order {
  @PrimaryColumn('uuid')
  id!: string;

  @Column('text')
  customer!: string;

  @Column('jsonb')
  items!: OrderItem[];

  @Column(money)
  total!: number;

  @CreateDateColumn({ type: 'timestamptz' })
  placedAt!: Date;
}
