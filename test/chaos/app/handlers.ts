import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import {
  EventBus,
  EventHandler,
  UnrecoverableEventError,
  type DomainEvent,
  type HandlerContext,
} from 'nestjs-durable-events';
import { DataSource, type EntityManager } from 'typeorm';
import type { Dialect } from '../databases/dialect.js';
import { DIALECT } from './dialect-of.js';
import { Failpoints } from './failpoints.js';
import {
  checksum,
  flakyPlan,
  HANDLERS,
  OrderFollowed,
  OrderPlaced,
  UNRECOVERABLE,
} from './orders.js';

const EVERY_MS = 20;

export const CHILD_NAME = Symbol('child name');

/** Both events carry the same data. */
type OrderEvent = DomainEvent<typeof OrderPlaced>;

/** The application's handlers: each leaves a row per run, so that repeats can be counted. */
@Injectable()
export class OrderHandlers {
  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly events: EventBus,
    private readonly failpoints: Failpoints,
    @Inject(CHILD_NAME) private readonly child: string,
    @Inject(DIALECT) private readonly dialect: Dialect,
  ) {}

  /** At least once. */
  @EventHandler(OrderPlaced, { id: HANDLERS.plain })
  async plain(event: OrderEvent, context: HandlerContext): Promise<void> {
    await this.leaveEffect(this.dataSource.manager, event, context);
    this.failpoints.reach('deliver.after-effect');
  }

  /** Exactly once, and so is its follow-up event. */
  @EventHandler(OrderPlaced, { id: HANDLERS.tx, transactional: true })
  async tx(event: OrderEvent, context: HandlerContext): Promise<void> {
    await this.leaveEffect(context.manager, event, context);
    await this.events.emit(OrderFollowed, event.data);
    this.failpoints.reach('deliver.in-transaction');
  }

  /** Fails by plan; for a few events always. */
  @EventHandler(OrderPlaced, { id: HANDLERS.flaky })
  async flaky(event: OrderEvent, context: HandlerContext): Promise<void> {
    const { fails, unrecoverable } = flakyPlan(event.data.orderId, event.data.n);
    if (unrecoverable) throw new UnrecoverableEventError(UNRECOVERABLE);
    if (context.isLastAttempt && this.failpoints.isArmedLate) await this.othersEnded(event);
    if (context.isLastAttempt) this.failpoints.reach('deliver.late-failure');
    const late = context.isLastAttempt && this.failpoints.reach('deliver.late-success');
    if (context.attempt <= fails && !late) throw new Error('planned: not this time');
    await this.leaveEffect(this.dataSource.manager, event, context);
  }

  /** The same in a transaction, whose effect is undone each time that it fails. */
  @EventHandler(OrderPlaced, { id: HANDLERS.flakyTx, transactional: true })
  async flakyTx(event: OrderEvent, context: HandlerContext): Promise<void> {
    const { fails, unrecoverable } = flakyPlan(event.data.orderId, event.data.n);
    await this.leaveEffect(context.manager, event, context);
    if (unrecoverable) throw new UnrecoverableEventError(UNRECOVERABLE);
    const late = this.failpoints.isLate(event.position, context.attempt);
    if (context.attempt <= fails && !late) throw new Error('planned: not this time');
  }

  @EventHandler(OrderFollowed, { id: HANDLERS.follow })
  async follow(event: OrderEvent, context: HandlerContext): Promise<void> {
    await this.leaveEffect(this.dataSource.manager, event, context);
  }

  /**
   * Until the event's other deliveries are done or dead: a process that stands still in a handler's
   * transaction keeps its delivery's row, and nobody else can go on with that.
   */
  private async othersEnded({ position }: OrderEvent): Promise<void> {
    for (;;) {
      const queued = await this.dataSource.sql<unknown[]>`
        SELECT handler FROM events_deliveries
        WHERE position = ${position} AND handler <> ${HANDLERS.flaky} AND status = 'queued'`;
      if (queued.length === 0) return;
      await delay(EVERY_MS);
    }
  }

  private async leaveEffect(
    manager: EntityManager,
    event: OrderEvent,
    { handlerId, attempt }: HandlerContext,
  ): Promise<void> {
    const { orderId, n, payload } = event.data;
    const intact = checksum(payload) === event.data.checksum;
    await manager.query(this.dialect.insertEffect, [
      handlerId,
      event.eventId,
      orderId,
      n,
      event.data.checksum,
      intact,
      event.idempotencyKey,
      attempt,
      this.child,
    ]);
  }
}
