import { Column, Entity, PrimaryColumn } from 'typeorm';
import { money } from '../storage/money.js';

@Entity('sales')
export class Sale {
  @PrimaryColumn('uuid')
  orderId!: string;

  @Column(money)
  total!: number;
}
