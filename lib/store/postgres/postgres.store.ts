import { randomBytes } from 'node:crypto';
import type { DataSource, QueryRunner } from 'typeorm';
import { execute, executeUpdate, StoreConnection } from '../connection.js';
import type {
  AppendedEvent,
  DeliveryRecord,
  DeliveryRef,
  DeliveryState,
  DeliveryStatus,
  EventRecord,
  EventStore,
  FailedAttempt,
  LoggedEvent,
  OutboxRecord,
  RegisteredHandler,
  RelayedBatch,
  RelayLimits,
  RescuedDelivery,
} from '../event-store.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import * as deliveries from './deliveries.sql.js';
import * as emit from './emit.sql.js';
import * as events from './events.sql.js';
import * as handlers from './handlers.sql.js';
import { rememberConnectErrors } from './pool-guard.js';
import { isInfrastructureError } from './postgres.errors.js';
import * as relay from './relay.sql.js';

type Ordinal = { readonly ordinal: string };
type EventWithDeliveries = events.EventRow & { readonly deliveries: string };

/** {@link EventStore} on PostgreSQL 13 or newer. */
export class PostgresEventStore implements EventStore {
  readonly description: string;
  /** Errors that are about the database for certain, whoever let them through. */
  private readonly ownErrors: WeakSet<object>;
  private readonly connection: StoreConnection;
  private identity = '';

  constructor(
    dataSource: DataSource,
    private readonly tables: Tables,
    private readonly namespace: string,
  ) {
    this.connection = new StoreConnection(dataSource);
    this.ownErrors = rememberConnectErrors(dataSource);
    this.description = `PostgreSQL database "${dataSource.driver.database ?? ''}"`;
  }

  isInfrastructureError(error: unknown, from: 'store' | 'handler' = 'store'): boolean {
    const own = error instanceof Error && this.ownErrors.has(error);
    return isInfrastructureError(error, own ? 'store' : from);
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

  private async insert(
    records: readonly OutboxRecord[],
    runner: QueryRunner,
  ): Promise<AppendedEvent[]> {
    const owners = await this.claimKeys(records, runner);
    const duplicate = (record: OutboxRecord) =>
      record.idempotencyKey !== null && owners.get(record.idempotencyKey) !== record.eventId;
    const fresh = records.filter((record) => !duplicate(record));
    for (let start = 0; start < fresh.length; start += emit.MAX_ROWS) {
      const rows = fresh.slice(start, start + emit.MAX_ROWS);
      await execute(runner, emit.insertIntoOutbox(this.tables, this.namespace, rows));
    }
    return records.map((record) => ({
      eventId: owners.get(record.idempotencyKey ?? '') ?? record.eventId,
      duplicate: duplicate(record),
    }));
  }

  /** Key → id of the event that owns it, for all keys among the records. */
  private async claimKeys(
    records: readonly OutboxRecord[],
    runner: QueryRunner,
  ): Promise<Map<string, string>> {
    const owners = new Map<string, string>();
    for (const { idempotencyKey: key, eventId } of records) {
      // The first record of a call with a key owns it.
      if (key !== null && !owners.has(key)) owners.set(key, eventId);
    }
    if (owners.size === 0) return owners;
    const claims = [...owners].map(([key, eventId]) => ({ key, eventId }));
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
    // pg keeps the status of the last ReadyForQuery message: 'E' is a failed transaction block.
    const client = (await runner.connect()) as { getTransactionStatus?: () => string | null };
    if (client.getTransactionStatus !== undefined) return client.getTransactionStatus() === 'E';
    // Older versions of pg don't tell; a failed transaction refuses every statement.
    return runner.query('SELECT 1').then(
      () => false,
      () => true,
    );
  }

  async hasDue(): Promise<boolean> {
    const [row] = await this.query<{ due: boolean }>(relay.hasDue(this.tables, this.namespace));
    return row?.due === true;
  }

  relay(limits: RelayLimits): Promise<RelayedBatch | 'busy'> {
    return this.connection.transaction(async (runner) => {
      const [locked] = await execute<{ last_position: string; handlers: string }>(
        runner,
        relay.lockRelay(this.tables, this.namespace),
      );
      if (locked === undefined) {
        // Another relay has it; or somebody emptied the table under us.
        await execute(runner, relay.ensureRelayRow(this.tables, this.namespace, this.identity));
        return 'busy';
      }
      const subscribers = handlers.parseHandlers(locked.handlers);
      const rows = await execute<events.EventRow>(
        runner,
        relay.moveBatch(this.tables, this.namespace, locked.last_position, subscribers, limits),
      );
      return {
        events: rows.map(events.toLoggedEvent),
        handlers: subscribers,
        full: rows.length >= limits.batchSize,
      };
    });
  }

  async rescue(limits: RelayLimits): Promise<RescuedDelivery[]> {
    const rows = await this.query<events.EventRow & { handler: string; epoch: string }>(
      relay.takeOverdue(this.tables, this.namespace, limits),
    );
    return rows.map((row) => ({
      position: Number(row.position),
      handler: row.handler,
      epoch: Number(row.epoch),
      event: events.toLoggedEvent(row),
    }));
  }

  async unrescue(refs: readonly DeliveryRef[], rescueAfterMs: number): Promise<void> {
    await this.query(deliveries.setRescueTime(this.tables, this.namespace, refs, rescueAfterMs));
  }

  async deliveryStates(refs: readonly DeliveryRef[]): Promise<(DeliveryState | undefined)[]> {
    const rows = await this.query<
      Ordinal &
        Record<'epoch' | 'attempts' | 'max_attempts' | 'event_id', string> & {
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
        status: row.status,
        attempts: Number(row.attempts),
        maxAttempts: Number(row.max_attempts),
      };
    }
    return states;
  }

  complete(refs: readonly DeliveryRef[], runner?: QueryRunner): Promise<boolean[]> {
    const statement = deliveries.completeDeliveries(this.tables, this.namespace, refs);
    return this.mark(refs, statement, runner);
  }

  fail(attempts: readonly FailedAttempt[], rescueAfterMs: number): Promise<boolean[]> {
    const statement = deliveries.failDeliveries(
      this.tables,
      this.namespace,
      attempts,
      rescueAfterMs,
    );
    return this.mark(attempts, statement);
  }

  private async mark(
    refs: readonly DeliveryRef[],
    statement: Statement,
    runner?: QueryRunner,
  ): Promise<boolean[]> {
    const rows =
      runner === undefined
        ? await this.connection.update<Ordinal>(statement)
        : await executeUpdate<Ordinal>(runner, statement);
    const marked = new Set(rows.map(({ ordinal }) => Number(ordinal)));
    return refs.map((_ref, index) => marked.has(index + 1));
  }

  async readEvents(positions: readonly number[]): Promise<LoggedEvent[]> {
    const statement = events.readEvents(this.tables, this.namespace, positions);
    return (await this.query<events.EventRow>(statement)).map(events.toLoggedEvent);
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
    await this.connection.transaction(async (runner) => {
      if (list.length === 0) return;
      await execute(runner, handlers.upsertHandlers(this.tables, this.namespace, list));
      const aliases = list.flatMap((handler) => handler.aliases);
      if (aliases.length === 0) return;
      await execute(runner, handlers.retireHandlers(this.tables, this.namespace, aliases));
    });
  }

  async renewHandlers(list: readonly RegisteredHandler[]): Promise<void> {
    await this.query(handlers.renewHandlers(this.tables, this.namespace, list));
  }

  async handlers(runner?: QueryRunner): Promise<RegisteredHandler[]> {
    const statement = handlers.readHandlers(this.tables, this.namespace);
    const [row] = await (runner === undefined
      ? this.query<{ handlers: string }>(statement)
      : execute<{ handlers: string }>(runner, statement));
    return handlers.parseHandlers(row?.handlers ?? '[]');
  }

  private query<Row>(statement: Statement): Promise<Row[]> {
    return this.connection.query<Row>(statement);
  }
}

function toEventRecord(row: EventWithDeliveries): EventRecord {
  return {
    ...events.toLoggedEvent(row),
    position: row.position === null ? null : Number(row.position),
    deliveries: JSON.parse(row.deliveries) as DeliveryRecord[],
  };
}
