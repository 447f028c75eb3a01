import { randomBytes } from 'node:crypto';
import type { DataSource, QueryRunner } from 'typeorm';
import { appendRecords, type KeyClaim } from '../append-records.js';
import { rememberConnectErrors } from '../connect-errors.js';
import { execute, limited, StoreConnection } from '../connection.js';
import { toLoggedEvent, type EventRow } from '../event-row.js';
import type {
  AppendedEvent,
  ChunkedRef,
  DeliveryRecord,
  DeliveryRef,
  DeliveryState,
  DeliveryStatus,
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
import { inLockOrder, lockOrder } from '../lock-order.js';
import {
  parseCursor,
  toChunk,
  toChunkedRef,
  toQueuedPage,
  type DeliveryKeyRow,
  type QueuedRow,
  type RescuedRow,
} from '../queued-page.js';
import { toRescuedBatch } from '../rescued-batch.js';
import type { Statement } from '../statement.js';
import type { ConnectionLoss, Store } from '../store.js';
import type { Tables } from '../tables.js';
import * as deliveries from './deliveries.sql.js';
import * as emit from './emit.sql.js';
import * as events from './events.sql.js';
import * as handlers from './handlers.sql.js';
import { poolSize } from './pool-guard.js';
import { connectionLoss, isContention, isInfrastructureError } from './postgres.errors.js';
import type { PostgresLedger } from './postgres.ledger.js';
import * as refill from './refill.sql.js';
import { RelayBatches } from './relay-batches.js';
import * as relay from './relay.sql.js';

type Ordinal = { readonly ordinal: string };
type EventWithDeliveries = EventRow & { readonly deliveries: string };

/** What pg's client tells, from 8.20 on. */
interface TransactionClient {
  getTransactionStatus?(): string | null;
  /** Whether the last statement has been answered to the end. */
  readonly readyForQuery?: boolean;
}

/** {@link Store} on PostgreSQL 13 or newer. */
export class PostgresEventStore implements Store {
  readonly description: string;
  readonly poolSize: number;
  /** Errors that are about the database for certain, whoever let them through. */
  private readonly ownErrors: WeakSet<object>;
  private readonly connection: StoreConnection;
  private readonly relayBatches = new RelayBatches();
  private identity = '';

  constructor(
    dataSource: DataSource,
    private readonly tables: Tables,
    private readonly namespace: string,
    private readonly ledger: PostgresLedger,
  ) {
    this.connection = new StoreConnection(dataSource);
    this.ownErrors = rememberConnectErrors(dataSource);
    this.poolSize = poolSize(dataSource);
    this.description = `PostgreSQL database "${dataSource.driver.database ?? ''}"`;
  }

  isInfrastructureError(error: unknown, from: 'store' | 'handler' = 'store'): boolean {
    const own = error instanceof Error && this.ownErrors.has(error);
    return isInfrastructureError(error, own ? 'store' : from);
  }

  isContention(error: unknown): boolean {
    return isContention(error);
  }

  connectionLoss(error: unknown): ConnectionLoss | undefined {
    return connectionLoss(error);
  }

  async prepare(): Promise<string> {
    this.identity = await this.connection.transaction(async (runner) => {
      await execute(
        runner,
        relay.ensureRelayRow(this.tables, this.namespace, randomBytes(6).toString('hex')),
      );
      const [row] = await execute<{ identity: string }>(
        runner,
        relay.readIdentity(this.tables, this.namespace),
      );
      return row?.identity ?? '';
    });
    return this.identity;
  }

  async append(records: readonly OutboxRecord[], runner?: QueryRunner): Promise<AppendedEvent[]> {
    if (runner === undefined) {
      return this.connection.transaction((own) => this.append(records, own));
    }
    try {
      return await this.insert(records, runner);
    } catch (error) {
      // A handler that emits lets it through: the database's doing still, not the handler's.
      if (error instanceof Error) this.ownErrors.add(error);
      throw error;
    }
  }

  private insert(records: readonly OutboxRecord[], runner: QueryRunner): Promise<AppendedEvent[]> {
    return appendRecords(records, {
      claim: (claims) => this.claimKeys(claims, runner),
      insert: async (fresh) => {
        for (const part of emit.splitRecords(fresh)) {
          await execute(runner, emit.insertIntoOutbox(this.tables, this.namespace, part));
        }
      },
    });
  }

  private async claimKeys(
    claims: readonly KeyClaim[],
    runner: QueryRunner,
  ): Promise<Map<string, string>> {
    const owners = new Map(claims.map(({ key, eventId }) => [key, eventId]));
    const claimed = await execute<{ key: string }>(
      runner,
      emit.claimKeys(this.tables, this.namespace, claims),
    );
    const taken = new Set(owners.keys());
    for (const { key } of claimed) taken.delete(key);
    if (taken.size === 0) return owners;
    const rows = await execute<{ key: string; event_id: string }>(
      runner,
      emit.readKeys(this.tables, this.namespace, [...taken]),
    );
    for (const { key, event_id } of rows) owners.set(key, event_id);
    return owners;
  }

  async isTransactionFailed(runner: QueryRunner): Promise<boolean> {
    // pg keeps the status of the last ReadyForQuery message: 'E' is a failed transaction block. A
    // statement's error may have come before that message, which then tells of the statement before.
    const client = (await runner.connect()) as TransactionClient;
    if (client.getTransactionStatus !== undefined && client.readyForQuery !== false) {
      return client.getTransactionStatus() === 'E';
    }
    // Older versions of pg don't tell; a failed transaction refuses every statement.
    return runner.query('SELECT 1').then(
      () => false,
      () => true,
    );
  }

  async isTransactionOpen(runner: QueryRunner): Promise<boolean> {
    // 'I' is a session without a transaction block. Older versions of pg don't tell.
    const client = (await runner.connect()) as TransactionClient;
    return client.getTransactionStatus?.() !== 'I';
  }

  async hasDue(limitMs?: number): Promise<boolean> {
    const statement = relay.hasDue(this.tables, this.namespace);
    const [row] = await this.connection.query<{ due: boolean }>(statement, limitMs);
    return row?.due === true;
  }

  async relay(limits: RelayLimits): Promise<RelayedBatch | 'busy'> {
    const { tables, namespace, identity } = this;
    const batch = await this.connection.use((runner) =>
      this.relayBatches.next(runner, { tables, namespace, identity }, limits),
    );
    if (batch !== 'busy' && batch.events.length > 0) this.ledger.added();
    return batch;
  }

  async rescue(limits: RelayLimits): Promise<RescuedBatch> {
    const rows = await this.query<RescuedRow>(
      relay.takeOverdue(this.tables, this.namespace, limits),
    );
    const taken = rows.map(toChunkedRef);
    const found = rows.flatMap((row) => (row.event_id === null ? [] : [toLoggedEvent(row)]));
    return toRescuedBatch(taken, found, limits.batchSize);
  }

  async unrescue(refs: readonly DeliveryRef[], rescueAfterMs: number): Promise<void> {
    const sorted = inLockOrder(refs);
    await this.query(deliveries.setRescueTime(this.tables, this.namespace, sorted, rescueAfterMs));
  }

  setChunks(refs: readonly ChunkedRef[]): Promise<boolean[]> {
    return this.mark(refs, (sorted) => deliveries.setChunks(this.tables, this.namespace, sorted));
  }

  async queueGeneration(): Promise<string | undefined> {
    const [row] = await this.query<{ queue_generation: string | null }>(
      refill.readGeneration(this.tables, this.namespace),
    );
    return row?.queue_generation ?? undefined;
  }

  async changeQueueGeneration(
    from: string | undefined,
    to: string,
    wiped: boolean,
  ): Promise<boolean> {
    const rows = await this.query(
      refill.changeGeneration(this.tables, this.namespace, from, to, wiped),
    );
    return rows.length === 1;
  }

  async queuedDeliveries(limit: number, from?: string): Promise<QueuedPage> {
    const cursor = parseCursor(from);
    const rows = await this.query<QueuedRow>(
      refill.queuedDeliveries(this.tables, this.namespace, limit, cursor),
    );
    return toQueuedPage(rows, limit, cursor);
  }

  async deliveryStates(refs: readonly DeliveryRef[]): Promise<(DeliveryState | undefined)[]> {
    const rows = await this.query<
      Ordinal &
        Record<'epoch' | 'attempts' | 'max_attempts' | 'event_id', string> & {
          chunk: string | null;
          status: DeliveryStatus;
        }
    >(deliveries.readStates(this.tables, this.namespace, refs));
    const states = Array.from<DeliveryState | undefined>({ length: refs.length });
    for (const row of rows) {
      const index = Number(row.ordinal) - 1;
      const { position, handler } = refs[index] as DeliveryRef;
      states[index] = {
        position,
        handler,
        eventId: row.event_id,
        epoch: Number(row.epoch),
        chunk: toChunk(row.chunk),
        status: row.status,
        attempts: Number(row.attempts),
        maxAttempts: Number(row.max_attempts),
      };
    }
    return states;
  }

  async complete(refs: readonly DeliveryRef[], runner?: QueryRunner): Promise<boolean[]> {
    const { tables, namespace } = this;
    const statement = deliveries.completeDeliveries(tables, namespace, refs, runner !== undefined);
    const rows = await this.change<Pick<DeliveryKeyRow, 'position' | 'handler'>>(statement, runner);
    this.ledger.added();
    const completed = new Set(rows.map(({ position, handler }) => `${position} ${handler}`));
    // Named twice, it is completed once.
    return refs.map(({ position, handler }) => completed.delete(`${position} ${handler}`));
  }

  fail(attempts: readonly FailedAttempt[], rescueAfterMs: number): Promise<boolean[]> {
    const build = (sorted: readonly FailedAttempt[]) =>
      deliveries.failDeliveries(this.tables, this.namespace, sorted, rescueAfterMs);
    return this.mark(attempts, build);
  }

  async uncomplete(attempt: FailedAttempt, rescueAfterMs: number): Promise<boolean> {
    const statement = deliveries.failDeliveries(
      this.tables,
      this.namespace,
      [attempt],
      rescueAfterMs,
      'completed',
    );
    return (await this.query(statement)).length === 1;
  }

  private async mark<Ref extends DeliveryRef>(
    refs: readonly Ref[],
    build: (sorted: readonly Ref[]) => Statement,
  ): Promise<boolean[]> {
    const order = lockOrder(refs);
    const rows = await this.query<Ordinal>(build(order.map((index) => refs[index] as Ref)));
    const marked = new Set(rows.map(({ ordinal }) => order[Number(ordinal) - 1]));
    return refs.map((_ref, index) => marked.has(index));
  }

  private change<Row>(statement: Statement, runner: QueryRunner | undefined): Promise<Row[]> {
    return runner === undefined
      ? this.query<Row>(statement)
      : limited(runner, () => execute<Row>(runner, statement));
  }

  async readEvents(positions: readonly number[]): Promise<LoggedEvent[]> {
    const statement = events.readEvents(this.tables, this.namespace, positions);
    return (await this.query<EventRow>(statement)).map(toLoggedEvent);
  }

  async eventsOfEntity(type: string, id: string, limit: number): Promise<EventRecord[]> {
    const rows = await this.query<EventWithDeliveries>(
      events.eventsOfEntity(this.tables, this.namespace, type, id, limit),
    );
    return rows.toReversed().map(toEventRecord);
  }

  async eventById(eventId: string): Promise<EventRecord | undefined> {
    const [row] = await this.query<EventWithDeliveries>(
      events.eventById(this.tables, this.namespace, eventId),
    );
    return row === undefined ? undefined : toEventRecord(row);
  }

  async registerHandlers(list: readonly RegisteredHandler[]): Promise<void> {
    if (list.length === 0) return;
    await this.query(handlers.upsertHandlers(this.tables, this.namespace, list));
  }

  async renewHandlers(list: readonly RegisteredHandler[]): Promise<void> {
    await this.query(handlers.renewHandlers(this.tables, this.namespace, list));
  }

  async handlers(runner?: QueryRunner): Promise<RegisteredHandler[]> {
    const statement = handlers.readHandlers(this.tables, this.namespace);
    const [row] = await this.query<{ handlers: string }>(statement, runner);
    return handlers.parseSubscribers(row?.handlers ?? '[]');
  }

  async handlerRecords(): Promise<HandlerRecord[]> {
    const statement = handlers.readHandlerRecords(this.tables, this.namespace);
    const [row] = await this.query<{ handlers: string }>(statement);
    return handlers.parseHandlerRecords(row?.handlers ?? '[]');
  }

  retireHandler(id: string): Promise<boolean> {
    return this.connection.transaction(async (runner) => {
      await execute(runner, handlers.lockRelayForRetirement(this.tables, this.namespace));
      const retired = await execute(
        runner,
        handlers.retireHandlers(this.tables, this.namespace, [id]),
      );
      return retired.length === 1;
    });
  }

  async waiting(ids: readonly string[]): Promise<Map<string, number>> {
    const rows = await this.query<{ handler: string; waiting: string }>(
      handlers.countWaiting(this.tables, this.namespace, ids),
    );
    return new Map(rows.map(({ handler, waiting }) => [handler, Number(waiting)]));
  }

  private query<Row>(statement: Statement, runner?: QueryRunner): Promise<Row[]> {
    return runner === undefined
      ? this.connection.query<Row>(statement)
      : execute<Row>(runner, statement);
  }
}

function toEventRecord(row: EventWithDeliveries): EventRecord {
  return {
    ...toLoggedEvent(row),
    position: row.position === null ? null : Number(row.position),
    deliveries: JSON.parse(row.deliveries) as DeliveryRecord[],
  };
}
