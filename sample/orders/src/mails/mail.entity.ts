import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A mail, as a mail service keeps it: at most one per idempotency key. */
@Entity('mails')
export class Mail {
  @PrimaryColumn('uuid')
  idempotencyKey!: string;

  @Column('text')
  recipient!: string;

  @Column('text')
  subject!: string;
}
