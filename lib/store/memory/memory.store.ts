import type { QueryRunner } from 'typeorm';
import type {
  AppendedEvent,
  ChunkedRef,
  DeliveryRef,
  DeliveryState,
  EventRecord,
  FailedAttempt,
  HandlerRecord,
  LoggedEvent,
  OutboxRecord,
  QueuedPage,
  RegisteredHandler,
  RelayedBatch,
  RelayLimits,
  RescuedBatch,
} from '../event-store.js';
import type { Store } from '../store.js';
import type { MemoryData } from './memory.data.js';
import * as deliveries from './memory.deliveries.js';
import * as handlers from './memory.handlers.js';
import * as outbox from './memory.outbox.js';
import * as reads from './memory.reads.js';
import * as refill from './memory.refill.js';
import * as relay from './memory.relay.js';

/**
 * {@link Store} in the memory of this process. It has no transactions: an operation with a runner
 * rejects, because a rollback would not undo it.
 */
export class MemoryEventStore implements Store {
  readonly description: string;
  readonly poolSize = Infinity;

  constructor(
    private readonly data: MemoryData,
    namespace: string,
  ) {
    this.description = `memory of this process, namespace "${namespace}"`;
  }

  async prepare(): Promise<string> {
    return relay.ensureRelayRow(this.data).identity;
  }

  async append(records: readonly OutboxRecord[], runner?: QueryRunner): Promise<AppendedEvent[]> {
    refuseTransaction(runner);
    return outbox.append(this.data, records);
  }

  async isTransactionFailed(): Promise<boolean> {
    return false;
  }

  async hasDue(): Promise<boolean> {
    return outbox.hasDue(this.data);
  }

  async relay(limits: RelayLimits): Promise<RelayedBatch | 'busy'> {
    return relay.relay(this.data, limits);
  }

  async rescue(limits: RelayLimits): Promise<RescuedBatch> {
    return deliveries.rescue(this.data, limits);
  }

  async unrescue(refs: readonly DeliveryRef[], rescueAfterMs: number): Promise<void> {
    deliveries.unrescue(this.data, refs, rescueAfterMs);
  }

  async setChunks(refs: readonly ChunkedRef[]): Promise<boolean[]> {
    return deliveries.setChunks(this.data, refs);
  }

  async queueGeneration(): Promise<string | undefined> {
    return this.data.relay?.queueGeneration;
  }

  async changeQueueGeneration(
    from: string | undefined,
    to: string,
    wiped: boolean,
  ): Promise<boolean> {
    return refill.changeQueueGeneration(this.data, from, to, wiped);
  }

  async queuedDeliveries(limit: number, from?: string): Promise<QueuedPage> {
    return refill.queuedDeliveries(this.data, limit, from);
  }

  async deliveryStates(refs: readonly DeliveryRef[]): Promise<(DeliveryState | undefined)[]> {
    return deliveries.deliveryStates(this.data, refs);
  }

  async complete(refs: readonly DeliveryRef[], runner?: QueryRunner): Promise<boolean[]> {
    refuseTransaction(runner);
    return deliveries.complete(this.data, refs);
  }

  async fail(attempts: readonly FailedAttempt[], rescueAfterMs: number): Promise<boolean[]> {
    return deliveries.fail(this.data, attempts, rescueAfterMs);
  }

  async readEvents(positions: readonly number[]): Promise<LoggedEvent[]> {
    return reads.readEvents(this.data, positions);
  }

  async eventsOfEntity(type: string, id: string, limit: number): Promise<EventRecord[]> {
    return reads.eventsOfEntity(this.data, type, id, limit);
  }

  async eventById(eventId: string): Promise<EventRecord | undefined> {
    return reads.eventById(this.data, eventId);
  }

  async registerHandlers(list: readonly RegisteredHandler[]): Promise<void> {
    handlers.saveHandlers(this.data, list, { revive: true });
  }

  async renewHandlers(list: readonly RegisteredHandler[]): Promise<void> {
    handlers.saveHandlers(this.data, list, { revive: false });
  }

  async handlers(runner?: QueryRunner): Promise<RegisteredHandler[]> {
    refuseTransaction(runner);
    return handlers.subscribed(this.data);
  }

  async handlerRecords(): Promise<HandlerRecord[]> {
    return handlers.handlerRecords(this.data);
  }

  async retireHandler(id: string): Promise<boolean> {
    return handlers.retireHandler(this.data, id);
  }

  async waiting(ids: readonly string[]): Promise<Map<string, number>> {
    return handlers.waiting(this.data, ids);
  }

  /** Nothing here can be out of reach. */
  isInfrastructureError(): boolean {
    return false;
  }

  isContention(): boolean {
    return false;
  }

  connectionLoss(): undefined {
    return undefined;
  }
}

function refuseTransaction(runner: QueryRunner | undefined): void {
  if (runner === undefined) return;
  throw new Error('the memory store has no transactions: call it without a runner');
}
