import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { EventHandler, type DomainEvent, type HandlerContext } from 'nestjs-durable-events';
import type { Repository } from 'typeorm';
import { OrderPlaced } from '../orders/orders.events.js';
import { Mail } from './mail.entity.js';

@Injectable()
export class MailsHandler {
  constructor(@InjectRepository(Mail) private readonly mails: Repository<Mail>) {}

  /**
   * Its first attempt fails by design, in the nastiest way: the mail was sent, but nobody knows.
   * The second attempt sends it again with the same key, and so the customer gets one mail.
   */
  @EventHandler(OrderPlaced, { id: 'mails.confirmation', queue: 'mail', backoff: '500ms' })
  async confirm(
    { data, idempotencyKey }: DomainEvent<typeof OrderPlaced>,
    { attempt }: HandlerContext,
  ): Promise<void> {
    const subject = `Your order ${data.orderId} over ${data.total.toFixed(2)}`;
    await this.send({ idempotencyKey, recipient: data.customer, subject });
    if (attempt === 1) throw new Error('The mail service did not answer (by design)');
  }

  private async send(mail: Mail): Promise<void> {
    await this.mails.createQueryBuilder().insert().values(mail).orIgnore().execute();
  }
}
