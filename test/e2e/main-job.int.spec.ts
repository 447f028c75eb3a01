import { Injectable } from '@nestjs/common';
import {
  defineEvent,
  EventHandler,
  type DomainEvent,
  type HandlerContext,
} from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { QUEUE_KINDS } from '../support/bull.js';
import { countSignals, nextSignal } from '../support/signals.js';
import { createTestBackends, startTestApp, type TestBackends } from '../support/test-app.js';

const OrderPlaced = defineEvent('order.placed', {
  schema: z.object({ orderId: z.string(), total: z.number() }),
  entity: (data) => ({ type: 'order', id: data.orderId }),
});

@Injectable()
class Handlers {
  readonly seen: { event: DomainEvent<typeof OrderPlaced>; context: HandlerContext }[] = [];

  @EventHandler(OrderPlaced)
  mail(event: DomainEvent<typeof OrderPlaced>, context: HandlerContext): void {
    this.seen.push({ event, context });
    if (context.attempt === 1) throw new Error('the mail server is busy');
  }

  @EventHandler(OrderPlaced, { transactional: true })
  async stock(event: DomainEvent<typeof OrderPlaced>, { manager }: HandlerContext): Promise<void> {
    await manager.sql`INSERT INTO stock (order_id) VALUES (${event.data.orderId})`;
  }
}

describe.each(QUEUE_KINDS)('the main job, on BullMQ with %s', (queue) => {
  let backends: TestBackends;
  beforeAll(async () => {
    backends = await createTestBackends();
  });
  afterAll(() => backends.drop());

  it('saves an event with its transaction and delivers it to every handler', async () => {
    const app = await startTestApp({
      url: backends.database.url,
      events: { queue: backends[queue] },
      providers: [Handlers],
    });
    try {
      await app.dataSource.query('CREATE TABLE stock (order_id varchar(50) PRIMARY KEY)');
      const completed = countSignals(app.signals, 'delivery.completed', 2);
      const failed = nextSignal(app.signals, 'delivery.failed');
      const { eventId } = await app.dataSource.transaction(() =>
        app.bus.emit(OrderPlaced, { orderId: 'o1', total: 42 }),
      );
      await failed;
      await completed;
      const history = await app.log.ofEntity('order', 'o1');
      expect(history).toMatchObject([{ eventId, position: 1, data: { orderId: 'o1', total: 42 } }]);
      expect(history[0]?.deliveries).toMatchObject([
        {
          handler: 'Handlers.mail',
          status: 'completed',
          attempts: 2,
          lastError: expect.stringMatching('busy') as string,
        },
        { handler: 'Handlers.stock', status: 'completed', attempts: 1 },
      ]);
      const [first, second] = app.context.get(Handlers).seen;
      expect(first?.event.idempotencyKey).toBe(second?.event.idempotencyKey);
      expect(await app.dataSource.query('SELECT * FROM stock')).toEqual([{ order_id: 'o1' }]);
    } finally {
      await app.close();
    }
  });
});
