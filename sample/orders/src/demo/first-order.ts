import { Injectable, Logger } from '@nestjs/common';
import { EventBus, EventLog, Signals, type DeliverySignal } from 'nestjs-durable-events';
import { OrderPlaced } from '../orders/orders.events.js';
import { OrdersService } from '../orders/orders.service.js';
import { exampleOrder } from '../orders/place-order.schema.js';

/** Places an order and logs the way of it. */
@Injectable()
export class FirstOrder {
  private readonly logger = new Logger('FirstOrder');

  constructor(
    private readonly orders: OrdersService,
    private readonly events: EventBus,
    private readonly log: EventLog,
    private readonly signals: Signals,
  ) {}

  async place(url: string): Promise<void> {
    const started = performance.now();
    const { id, eventId } = await this.orders.place({ ...exampleOrder, fail: false });
    this.logger.log(`order ${id} and its event order.placed are saved, in one transaction`);
    await this.followDeliveries(eventId);
    const ms = Math.round(performance.now() - started);
    this.logger.log(`all deliveries are completed, ${ms} ms after the order came in`);
    for (const event of await this.log.ofEntity('order', id)) {
      const cause = event.causationId === eventId ? ', caused by order.placed' : '';
      this.logger.log(`position ${event.position ?? 'to come'} in the log: ${event.name}${cause}`);
    }
    this.logger.log(`All of it: ${url}/orders/${id}`);
  }

  /** Logs what happens to the event's deliveries. The library itself warns of those that fail. */
  private followDeliveries(eventId: string): Promise<void> {
    let open = this.events.handlersOf(OrderPlaced).length;
    return new Promise((resolve) => {
      const onStarted = (delivery: DeliverySignal & { attempt: number }) => {
        if (delivery.eventId !== eventId) return;
        const { position, handler, attempt } = delivery;
        this.logger.log(`position ${position} → ${handler}, attempt ${attempt}`);
      };
      const onCompleted = (delivery: DeliverySignal) => {
        if (delivery.eventId !== eventId) return;
        this.logger.log(`${delivery.handler} completed`);
        open -= 1;
        if (open > 0) return;
        for (const stop of listening) stop();
        resolve();
      };
      const listening = [
        this.signals.on('relay.moved', ({ lastPosition, deliveries }) =>
          this.logger.log(`relayed to position ${lastPosition}, with ${deliveries} deliveries`),
        ),
        this.signals.on('delivery.started', onStarted),
        this.signals.on('delivery.completed', onCompleted),
      ];
    });
  }
}
