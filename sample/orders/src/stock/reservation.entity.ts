import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';

@Entity('reservations')
export class Reservation {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('uuid')
  orderId!: string;

  @Column('text')
  sku!: string;

  @Column('integer')
  quantity!: number;
}
