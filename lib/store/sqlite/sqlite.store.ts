import { randomBytes } from 'node:crypto';
import type { DataSource, QueryRunner } from 'typeorm';
import { keyClaims, settleKeys } from '../append-records.js';
import { toEventRecords, type DeliveryRow } from '../event-records.js';
import { toLoggedEvent, type EventRow } from '../event-row.js';
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
import {
  handlerRows,
  subscribers,
  toHandlerRecord,
  toStoredHandler,
  type HandlerRecordRow,
  type StoredHandlerRow,
} from '../handler-row.js';
import { parseCursor, toQueuedPage, type QueuedRow } from '../queued-page.js';
import { toRescuedBatch } from '../rescued-batch.js';
import type { ConnectionLoss, Store } from '../store.js';
import type { Tables } from '../tables.js';
import * as deliveries from './deliveries.sql.js';
import * as emit from './emit.sql.js';
import * as events from './events.sql.js';
import * as handlers from './handlers.sql.js';
import { addToLedger } from './ledger.sql.js';
import * as refill from './refill.sql.js';
import * as relay from './relay.sql.js';
import { relayBatch } from './relay-batch.js';
import { currentTime, type Session, type SqliteConnection } from './sqlite.connection.js';
import { connectionLoss, isContention, isInfrastructureError } from './sqlite.errors.js';

/** {@link Store} on SQLite 3.42 or newer. */
export class SqliteEventStore implements Store {
  readonly description: string;
  /** TypeORM has one. */
  readonly poolSize = 1;
  readonly sharesRunner = true;

  constructor(
    private readonly connection: SqliteConnection,
    dataSource: DataSource,
    private readonly tables: Tables,
    private readonly namespace: string,
  ) {
    this.description = `SQLite database "${dataSource.driver.database ?? ''}"`;
  }

  isInfrastructureError(error: unknown, from: 'store' | 'handler' = 'store'): boolean {
    return isInfrastructureError(error, from);
  }

  isContention(error: unknown): boolean {
    return isContention(error);
  }

  connectionLoss(error: unknown): ConnectionLoss | undefined {
    return connectionLoss(error);
  }

  prepare(): Promise<string> {
    return this.connection.transaction((session) => this.ensureRelayRow(session).identity);
  }

  private ensureRelayRow(session: Session): RelayRow {
    const identity = randomBytes(6).toString('hex');
    session.run(relay.ensureRelayRow(this.tables, this.namespace, identity));
    return this.relayRow(session) as RelayRow;
  }

  private relayRow(session: Session): RelayRow | undefined {
    return session.all<RelayRow>(relay.readRelayRow(this.tables, this.namespace))[0];
  }

  append(records: readonly OutboxRecord[], runner?: QueryRunner): Promise<AppendedEvent[]> {
    const { tables, namespace } = this;
    return this.connection.transaction((session) => {
      const owners = new Map<string, string>();
      for (const claim of keyClaims(records)) {
        const statement = emit.claimKey(tables, namespace, claim);
        const [owner] = session.all<{ event_id: string }>(statement);
        owners.set(claim.key, owner?.event_id ?? claim.eventId);
      }
      const { fresh, appended } = settleKeys(records, owners);
      for (const record of fresh) session.run(emit.insertIntoOutbox(tables, namespace, record));
      return appended;
    }, runner);
  }

  async isTransactionFailed(runner: QueryRunner): Promise<boolean> {
    return this.connection.isTransactionFailed(runner);
  }

  hasDue(): Promise<boolean> {
    const statement = relay.hasDue(this.tables, this.namespace);
    return this.connection.transaction(
      (session) => session.all<{ due: number }>(statement)[0]?.due === 1,
    );
  }

  relay(limits: RelayLimits): Promise<RelayedBatch | 'busy'> {
    const { tables, namespace } = this;
    return this.connection.transaction((session) => {
      const row = this.relayRow(session);
      if (row === undefined) {
        this.ensureRelayRow(session);
        return 'busy';
      }
      const subscribed = this.subscribed(session);
      const last = row.last_position;
      return relayBatch(session, { tables, namespace, handlers: subscribed, last, limits });
    });
  }

  rescue(limits: RelayLimits): Promise<RescuedBatch> {
    const { tables, namespace } = this;
    const { batchSize, rescueAfterMs } = limits;
    return this.connection.transaction((session) => {
      const taken = session.all<ChunkedRef>(deliveries.readOverdue(tables, namespace, batchSize));
      const times = { now: currentTime(session), rescueAfterMs };
      for (const ref of taken) {
        session.run(deliveries.postpone(tables, namespace, ref, times));
      }
      const found = this.eventsAt(
        session,
        taken.map(({ position }) => position),
      );
      return toRescuedBatch(taken, found, batchSize);
    });
  }

  unrescue(refs: readonly DeliveryRef[], rescueAfterMs: number): Promise<void> {
    const { tables, namespace } = this;
    return this.connection.transaction((session) => {
      const at = currentTime(session) + Math.round(rescueAfterMs);
      for (const ref of refs) {
        session.run(deliveries.setRescueTime(tables, namespace, ref, at));
      }
    });
  }

  setChunks(refs: readonly ChunkedRef[]): Promise<boolean[]> {
    const { tables, namespace } = this;
    return this.connection.transaction((session) =>
      refs.map((ref) => session.run(deliveries.setChunk(tables, namespace, ref)) === 1),
    );
  }

  queueGeneration(): Promise<string | undefined> {
    return this.connection.transaction(
      (session) => this.relayRow(session)?.queue_generation ?? undefined,
    );
  }

  changeQueueGeneration(from: string | undefined, to: string, wiped: boolean): Promise<boolean> {
    const statement = refill.changeGeneration(this.tables, this.namespace, from, to, wiped);
    return this.connection.transaction((session) => session.run(statement) === 1);
  }

  queuedDeliveries(limit: number, from?: string): Promise<QueuedPage> {
    const cursor = parseCursor(from);
    const statement = refill.queuedDeliveries(this.tables, this.namespace, limit, cursor);
    return this.connection.transaction((session) =>
      toQueuedPage(session.all<QueuedRow>(statement), limit, cursor),
    );
  }

  deliveryStates(refs: readonly DeliveryRef[]): Promise<(DeliveryState | undefined)[]> {
    const { tables, namespace } = this;
    return this.connection.transaction((session) =>
      refs.map(
        (ref) => session.all<DeliveryState>(deliveries.readState(tables, namespace, ref))[0],
      ),
    );
  }

  complete(refs: readonly DeliveryRef[], runner?: QueryRunner): Promise<boolean[]> {
    const { tables, namespace } = this;
    return this.connection.transaction((session) => {
      const completed = refs.map(
        (ref) => session.run(deliveries.completeDelivery(tables, namespace, ref)) === 1,
      );
      const count = completed.filter(Boolean).length;
      session.run(addToLedger(tables, namespace, { completed: count }));
      return completed;
    }, runner);
  }

  fail(attempts: readonly FailedAttempt[], rescueAfterMs: number): Promise<boolean[]> {
    const { tables, namespace } = this;
    return this.connection.transaction((session) => {
      const marked = new Set<string>();
      return attempts.map((failed) => {
        const name = `${failed.position} ${failed.handler}`;
        // Named twice in one call, it is marked once.
        if (marked.has(name)) return false;
        const update = deliveries.failDelivery(tables, namespace, failed, rescueAfterMs);
        if (session.run(update) === 0) return false;
        marked.add(name);
        session.run(deliveries.recordAttempt(tables, namespace, failed));
        return true;
      });
    });
  }

  readEvents(positions: readonly number[]): Promise<LoggedEvent[]> {
    return this.connection.transaction((session) => this.eventsAt(session, positions));
  }

  private eventsAt(session: Session, positions: readonly number[]): LoggedEvent[] {
    const statement = events.readEvents(this.tables, this.namespace, positions);
    return session.all<EventRow>(statement).map(toLoggedEvent);
  }

  eventsOfEntity(type: string, id: string, limit: number): Promise<EventRecord[]> {
    const statement = events.eventsOfEntity(this.tables, this.namespace, type, id, limit);
    return this.connection.transaction((session) =>
      this.withDeliveries(session, session.all<EventRow>(statement).toReversed()),
    );
  }

  eventById(eventId: string): Promise<EventRecord | undefined> {
    const statement = events.eventById(this.tables, this.namespace, eventId);
    return this.connection.transaction(
      (session) => this.withDeliveries(session, session.all<EventRow>(statement))[0],
    );
  }

  private withDeliveries(session: Session, rows: readonly EventRow[]): EventRecord[] {
    const positions = rows.flatMap(({ position }) => (position === null ? [] : [Number(position)]));
    const statement = events.deliveriesOf(this.tables, this.namespace, positions);
    return toEventRecords(rows, session.all<DeliveryRow>(statement));
  }

  registerHandlers(list: readonly RegisteredHandler[]): Promise<void> {
    return this.saveHandlers(list, true);
  }

  renewHandlers(list: readonly RegisteredHandler[]): Promise<void> {
    return this.saveHandlers(list, false);
  }

  private saveHandlers(list: readonly RegisteredHandler[], revive: boolean): Promise<void> {
    return this.connection.transaction((session) => {
      for (const row of handlerRows(list)) {
        session.run(handlers.saveHandler(this.tables, this.namespace, row, revive));
      }
    });
  }

  handlers(runner?: QueryRunner): Promise<RegisteredHandler[]> {
    return this.connection.transaction((session) => this.subscribed(session), runner);
  }

  private subscribed(session: Session): RegisteredHandler[] {
    const statement = handlers.readHandlers(this.tables, this.namespace);
    return subscribers(session.all<StoredHandlerRow>(statement).map(toStoredHandler));
  }

  handlerRecords(): Promise<HandlerRecord[]> {
    const statement = handlers.readHandlerRecords(this.tables, this.namespace);
    return this.connection.transaction((session) =>
      session.all<HandlerRecordRow>(statement).map(toHandlerRecord),
    );
  }

  retireHandler(id: string): Promise<boolean> {
    const statement = handlers.retireHandler(this.tables, this.namespace, id);
    return this.connection.transaction((session) => session.run(statement) === 1);
  }

  waiting(ids: readonly string[]): Promise<Map<string, number>> {
    const statement = handlers.countWaiting(this.tables, this.namespace, ids);
    return this.connection.transaction((session) => {
      const rows = session.all<{ handler: string; waiting: number }>(statement);
      return new Map(rows.map(({ handler, waiting }) => [handler, waiting]));
    });
  }
}

interface RelayRow {
  readonly identity: string;
  readonly last_position: number;
  readonly queue_generation: string | null;
}
