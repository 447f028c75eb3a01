import { randomBytes } from 'node:crypto';
import type { DataSource, QueryRunner } from 'typeorm';
import { appendRecords } from '../append-records.js';
import { rememberConnectErrors } from '../connect-errors.js';
import { limited } from '../connection.js';
import { toEventRecords, type DeliveryRow } from '../event-records.js';
import { toLoggedEvent, type EventRow } from '../event-row.js';
import type {
  AppendedEvent,
  ChunkedRef,
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
import {
  subscribers,
  toHandlerRecord,
  toStoredHandler,
  type HandlerRecordRow,
  type StoredHandlerRow,
} from '../handler-row.js';
import { inLockOrder } from '../lock-order.js';
import {
  parseCursor,
  toChunk,
  toChunkedRef,
  toQueuedPage,
  type DeliveryKeyRow,
  type QueuedRow,
} from '../queued-page.js';
import { toRescuedBatch } from '../rescued-batch.js';
import type { Statement } from '../statement.js';
import type { ConnectionLoss, Store, TransactionWatch } from '../store.js';
import type { Tables } from '../tables.js';
import * as deliveries from './deliveries.sql.js';
import * as emit from './emit.sql.js';
import * as events from './events.sql.js';
import * as handlers from './handlers.sql.js';
import { addToLedger, foldIncrements, lockIncrements, type LedgerRow } from './ledger.sql.js';
import { markQueued } from './mark-queued.js';
import { execute, MysqlConnection } from './mysql.connection.js';
import { connectionLoss, damageOf, isContention, isInfrastructureError } from './mysql.errors.js';
import { poolSize } from './pool-guard.js';
import * as refill from './refill.sql.js';
import * as relay from './relay.sql.js';
import { relayBatch } from './relay-batch.js';
import { stateAfter } from './transaction-state.js';

/** The ledger is added up after so many increments by one process. */
const FOLD_AFTER = 200;

/** {@link Store} on MySQL 8.0.17 or newer and on MariaDB 10.6 or newer. */
export class MysqlEventStore implements Store {
  readonly description: string;
  readonly poolSize: number;
  /** Errors that are about the database for certain, whoever let them through. */
  private readonly ownErrors: WeakSet<object>;
  private readonly connection: MysqlConnection;
  private identity = '';
  /** Rows that this process added to the ledger since it was last added up, about. */
  private increments = 0;

  constructor(
    dataSource: DataSource,
    private readonly tables: Tables,
    private readonly namespace: string,
  ) {
    this.connection = new MysqlConnection(dataSource);
    this.ownErrors = rememberConnectErrors(dataSource);
    this.poolSize = poolSize(dataSource);
    const title = dataSource.options.type === 'mariadb' ? 'MariaDB' : 'MySQL';
    this.description = `${title} database "${dataSource.driver.database ?? ''}"`;
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

  readonly transactionWatch: TransactionWatch = { damageOf, stateAfter };

  /** Nothing but the status in an answer says so, and only answers without rows show it. */
  async isTransactionOpen(runner: QueryRunner): Promise<boolean> {
    return stateAfter(await runner.query('DO 0'), 'DO 0') === 'open';
  }

  async prepare(): Promise<string> {
    this.identity = await this.connection.transaction(async (runner) => {
      await this.ensureRelayRow(runner, randomBytes(6).toString('hex'));
      return (await this.readIdentity(runner)) ?? '';
    });
    return this.identity;
  }

  private async readIdentity(runner: QueryRunner): Promise<string | undefined> {
    const statement = relay.readIdentity(this.tables, this.namespace);
    const [row] = await execute<{ identity: string }>(runner, statement);
    return row?.identity;
  }

  private async ensureRelayRow(runner: QueryRunner, identity: string): Promise<void> {
    // Looked at first: an INSERT would wait for the end of a relay's transaction.
    if ((await this.readIdentity(runner)) !== undefined) return;
    await execute(runner, relay.ensureRelayRow(this.tables, this.namespace, identity));
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
      claim: async (claims) => {
        const owners = new Map<string, string>();
        for (const part of emit.splitClaims(claims)) {
          await execute(runner, emit.claimKeys(this.tables, this.namespace, part));
          const keys = part.map(({ key }) => key);
          const read = emit.readKeys(this.tables, this.namespace, keys);
          for (const { key, event_id } of await execute<KeyRow>(runner, read)) {
            owners.set(key, event_id);
          }
        }
        return owners;
      },
      insert: async (fresh) => {
        for (const part of emit.splitRecords(fresh)) {
          await execute(runner, emit.insertIntoOutbox(this.tables, this.namespace, part));
        }
      },
    });
  }

  /** Never: the server does not tell. What undoes a transaction here is told by `transactionWatch`. */
  async isTransactionFailed(): Promise<boolean> {
    return false;
  }

  async hasDue(limitMs?: number): Promise<boolean> {
    const statement = relay.hasDue(this.tables, this.namespace);
    const [row] = await this.connection.query<{ due: unknown }>(statement, limitMs);
    return Number(row?.due) === 1;
  }

  async relay(limits: RelayLimits): Promise<RelayedBatch | 'busy'> {
    const batch = await this.relayBatch(limits);
    if (batch !== 'busy' && batch.events.length > 0) this.countIncrement();
    return batch;
  }

  private relayBatch(limits: RelayLimits): Promise<RelayedBatch | 'busy'> {
    return this.connection.limitedTransaction(async (runner) => {
      const statement = relay.lockRelay(this.tables, this.namespace);
      const [locked] = await execute<{ last_position: string }>(runner, statement);
      if (locked === undefined) {
        // Another relay has it; or somebody emptied the table under us.
        await this.ensureRelayRow(runner, this.identity);
        return 'busy';
      }
      const last = Number(locked.last_position);
      const subscribed = await this.handlers(runner);
      return relayBatch(runner, { ...this.place(), handlers: subscribed, last, limits });
    });
  }

  async rescue(limits: RelayLimits): Promise<RescuedBatch> {
    const { tables, namespace } = this;
    const taken = await this.connection.transaction(async (runner) => {
      const overdue = await execute<DeliveryKeyRow>(
        runner,
        deliveries.lockOverdue(tables, namespace, limits.batchSize),
      );
      const refs = overdue.map(toChunkedRef);
      if (refs.length > 0) {
        const { rescueAfterMs } = limits;
        await execute(runner, deliveries.postponeOverdue(tables, namespace, refs, rescueAfterMs));
      }
      return refs;
    });
    const found = await this.readEvents([...new Set(taken.map(({ position }) => position))]);
    return toRescuedBatch(taken, found, limits.batchSize);
  }

  async unrescue(refs: readonly DeliveryRef[], rescueAfterMs: number): Promise<void> {
    if (refs.length === 0) return;
    const { tables, namespace } = this;
    const sorted = inLockOrder(refs);
    await this.connection.write(deliveries.setRescueTime(tables, namespace, sorted, rescueAfterMs));
  }

  async setChunks(refs: readonly ChunkedRef[]): Promise<boolean[]> {
    if (refs.length === 0) return [];
    const { tables, namespace } = this;
    return this.connection.transaction((runner) =>
      markQueued(runner, this.place(), refs, {
        // A transactional handler may hold one for minutes.
        wait: 'SKIP LOCKED',
        accepts: () => true,
        update: (locked) => [deliveries.setChunks(tables, namespace, locked)],
      }),
    );
  }

  async queueGeneration(): Promise<string | undefined> {
    const [row] = await this.query<GenerationRow>(
      refill.readGeneration(this.tables, this.namespace),
    );
    return row?.queue_generation ?? undefined;
  }

  changeQueueGeneration(from: string | undefined, to: string, wiped: boolean): Promise<boolean> {
    const { tables, namespace } = this;
    return this.connection.transaction(async (runner) => {
      const lock = refill.readGeneration(tables, namespace, true);
      const [row] = await execute<GenerationRow>(runner, lock);
      if (row === undefined || (row.queue_generation ?? undefined) !== from) return false;
      await execute(runner, refill.writeGeneration(tables, namespace, to, wiped));
      return true;
    });
  }

  async queuedDeliveries(limit: number, from?: string): Promise<QueuedPage> {
    const cursor = parseCursor(from);
    const rows = await this.query<QueuedRow>(
      refill.queuedDeliveries(this.tables, this.namespace, limit, cursor),
    );
    return toQueuedPage(rows, limit, cursor);
  }

  async deliveryStates(refs: readonly DeliveryRef[]): Promise<(DeliveryState | undefined)[]> {
    const rows = await this.query<StateRow>(
      deliveries.readStates(this.tables, this.namespace, refs),
    );
    const byOrdinal = new Map(rows.map((row) => [Number(row.ordinal), row]));
    return refs.map(({ position, handler }, index) => {
      const row = byOrdinal.get(index + 1);
      if (row === undefined) return undefined;
      return {
        position,
        handler,
        eventId: row.event_id,
        epoch: Number(row.epoch),
        chunk: toChunk(row.chunk),
        status: row.status,
        attempts: Number(row.attempts),
        maxAttempts: Number(row.max_attempts),
      };
    });
  }

  async complete(refs: readonly DeliveryRef[], runner?: QueryRunner): Promise<boolean[]> {
    const { tables, namespace } = this;
    const work = (through: QueryRunner) =>
      markQueued(through, this.place(), refs, {
        wait: runner === undefined ? '' : 'NOWAIT',
        accepts: () => true,
        update: (locked) => [
          deliveries.completeDeliveries(tables, namespace, locked),
          addToLedger(tables, namespace, 'completed', locked.length),
        ],
      });
    const completed = await (runner === undefined
      ? this.connection.transaction(work)
      : limited(runner, () => work(runner)));
    this.countIncrement();
    return completed;
  }

  private countIncrement(): void {
    // Not awaited: it needs a connection, and the caller may hold the last one.
    if (++this.increments >= FOLD_AFTER) void this.fold();
  }

  /** Keeps the ledger short. What fails is left to the next time. */
  private async fold(): Promise<void> {
    this.increments = 0;
    const { tables, namespace } = this;
    const folded = this.connection.transaction(async (runner) => {
      const lock = lockIncrements(tables, namespace, FOLD_AFTER * 10);
      const rows = await execute<LedgerRow>(runner, lock);
      if (rows.length < 2) return;
      for (const statement of foldIncrements(tables, namespace, rows)) {
        await execute(runner, statement);
      }
    });
    await folded.catch(() => undefined);
  }

  fail(attempts: readonly FailedAttempt[], rescueAfterMs: number): Promise<boolean[]> {
    const { tables, namespace } = this;
    return this.connection.transaction((runner) =>
      markQueued(runner, this.place(), attempts, {
        // Recorded twice (a lost answer, two runs of a stalled job), an attempt counts once.
        accepts: ({ attempt }, made) => made === attempt - 1 || made === attempt,
        update: (locked) =>
          deliveries
            .splitAttempts(locked)
            .flatMap((part) => [
              deliveries.failDeliveries(tables, namespace, part, rescueAfterMs),
              deliveries.recordAttempts(tables, namespace, part),
            ]),
      }),
    );
  }

  uncomplete(attempt: FailedAttempt, rescueAfterMs: number): Promise<boolean> {
    const { tables, namespace } = this;
    return this.connection.transaction(async (runner) => {
      const lock = deliveries.lockCompleted(tables, namespace, attempt);
      if ((await execute(runner, lock)).length === 0) return false;
      for (const statement of [
        deliveries.failDeliveries(tables, namespace, [attempt], rescueAfterMs),
        deliveries.recordAttempts(tables, namespace, [attempt]),
        addToLedger(tables, namespace, 'completed', -1),
      ]) {
        await execute(runner, statement);
      }
      return true;
    });
  }

  async readEvents(positions: readonly number[]): Promise<LoggedEvent[]> {
    if (positions.length === 0) return [];
    const statement = events.readEvents(this.tables, this.namespace, positions);
    return (await this.query<EventRow>(statement)).map(toLoggedEvent);
  }

  async eventsOfEntity(type: string, id: string, limit: number): Promise<EventRecord[]> {
    const statement = events.eventsOfEntity(this.tables, this.namespace, type, id, limit);
    return this.withDeliveries((await this.query<EventRow>(statement)).toReversed());
  }

  async eventById(eventId: string): Promise<EventRecord | undefined> {
    const rows = await this.query<EventRow>(events.eventById(this.tables, this.namespace, eventId));
    const [record] = await this.withDeliveries(rows);
    return record;
  }

  private async withDeliveries(rows: readonly EventRow[]): Promise<EventRecord[]> {
    const positions = rows.flatMap(({ position }) => (position === null ? [] : [Number(position)]));
    if (positions.length === 0) return toEventRecords(rows, []);
    const statement = events.deliveriesOf(this.tables, this.namespace, positions);
    return toEventRecords(rows, await this.query<DeliveryRow>(statement));
  }

  async registerHandlers(list: readonly RegisteredHandler[]): Promise<void> {
    if (list.length === 0) return;
    await this.connection.write(handlers.upsertHandlers(this.tables, this.namespace, list));
  }

  async renewHandlers(list: readonly RegisteredHandler[]): Promise<void> {
    if (list.length === 0) return;
    await this.connection.write(handlers.renewHandlers(this.tables, this.namespace, list));
  }

  async handlers(runner?: QueryRunner): Promise<RegisteredHandler[]> {
    const statement = handlers.readHandlers(this.tables, this.namespace);
    const rows = await (runner === undefined
      ? this.query<StoredHandlerRow>(statement)
      : execute<StoredHandlerRow>(runner, statement));
    return subscribers(rows.map(toStoredHandler));
  }

  async handlerRecords(): Promise<HandlerRecord[]> {
    const statement = handlers.readHandlerRecords(this.tables, this.namespace);
    return (await this.query<HandlerRecordRow>(statement)).map(toHandlerRecord);
  }

  retireHandler(id: string): Promise<boolean> {
    const { tables, namespace } = this;
    return this.connection.transaction(async (runner) => {
      await execute(runner, handlers.lockRelayForRetirement(tables, namespace));
      const active = await execute<{ id: string }>(
        runner,
        handlers.readHandlers(tables, namespace),
      );
      await execute(runner, handlers.retireHandlers(tables, namespace, [id]));
      return active.some((handler) => handler.id === id);
    });
  }

  async waiting(ids: readonly string[]): Promise<Map<string, number>> {
    if (ids.length === 0) return new Map();
    const rows = await this.query<{ handler: string; waiting: string }>(
      handlers.countWaiting(this.tables, this.namespace, ids),
    );
    return new Map(rows.map(({ handler, waiting }) => [handler, Number(waiting)]));
  }

  private place(): { tables: Tables; namespace: string } {
    return { tables: this.tables, namespace: this.namespace };
  }

  private query<Row>(statement: Statement): Promise<Row[]> {
    return this.connection.query<Row>(statement);
  }
}

interface KeyRow {
  readonly key: string;
  readonly event_id: string;
}

interface GenerationRow {
  readonly queue_generation: string | null;
}

interface StateRow {
  readonly ordinal: string;
  readonly status: DeliveryStatus;
  readonly epoch: string;
  readonly chunk: string | null;
  readonly attempts: string;
  readonly max_attempts: string;
  readonly event_id: string;
}
