import { randomBytes } from 'node:crypto';
import type { DataSource, QueryRunner } from 'typeorm';
import { afterAll, afterEach, beforeAll, it } from 'vitest';
import { newEventId } from '../../lib/event/event-id.js';
import type {
  EventStore,
  LoggedEvent,
  OutboxRecord,
  RegisteredHandler,
  RelayedBatch,
} from '../../lib/store/event-store.js';
import type { Stores } from '../../lib/store/store.js';
import { eventually } from '../support/wait.js';
import type {
  Capability,
  Connections,
  ConnectOptions,
  ContractDatabase,
  RowAccess,
  SqlAccess,
  StoreHarness,
} from './harness.js';

/** Of most tests: everything fits into one batch, and no rescue is due while they run. */
export const LIMITS = { batchSize: 500, rescueAfterMs: 60_000 };

type DefineTest = (name: string, test: () => Promise<void>) => void;

/** A store of a namespace of its own. */
export interface Bus {
  readonly namespace: string;
  readonly store: EventStore;
  /** The same, with the others of the namespace. */
  readonly stores: Stores;
}

/** Opens the harness's database for one group of tests, and gives each test a fresh namespace. */
export class ContractContext {
  database!: ContractDatabase;
  private readonly opened: DataSource[] = [];

  constructor(readonly harness: StoreHarness) {
    beforeAll(async () => {
      this.database = await harness.open();
    });
    afterEach(async () => {
      for (const dataSource of this.opened.splice(0)) await dataSource.destroy();
    });
    afterAll(() => this.database.drop());
  }

  /** `it`, for a test that not every store can pass; where it can't, the title says why. */
  needing(capability: Capability): DefineTest {
    const reason = this.harness.limits?.[capability];
    const define: DefineTest = reason === undefined ? it : it.skip;
    const suffix = reason === undefined ? '' : ` (not here: ${reason})`;
    return (name, test) => define(name + suffix, test);
  }

  get rows(): RowAccess {
    return this.database.rows;
  }

  /** Of tests that need transactions. */
  get sql(): SqlAccess {
    const { sql } = this.database;
    if (sql === undefined) throw new Error(`${this.harness.name} has no SQL: limit this test`);
    return sql;
  }

  /** Of tests that need several connections. */
  get connections(): Connections {
    const { connections } = this.sql;
    if (connections === undefined) throw new Error(`${this.harness.name} has one: limit this test`);
    return connections;
  }

  /** A namespace that nobody has used, ready for work. */
  async bus(dataSource?: DataSource): Promise<Bus> {
    const namespace = `t-${randomBytes(6).toString('hex')}`;
    const stores = this.database.stores(namespace, dataSource);
    await stores.events.prepare();
    return { namespace, store: stores.events, stores };
  }

  /** A DataSource for this test only. */
  async connect(options?: ConnectOptions): Promise<DataSource> {
    const dataSource = await this.connections.connect(options);
    this.opened.push(dataSource);
    return dataSource;
  }

  /** The same namespace, as another process sees it. */
  peer({ namespace }: Bus, dataSource?: DataSource): EventStore {
    return this.database.stores(namespace, dataSource).events;
  }

  /** A runner with an open transaction; ended after `work`, if that did not. */
  async withRunner<T>(work: (runner: QueryRunner) => Promise<T>): Promise<T> {
    const runner = this.sql.dataSource.createQueryRunner();
    try {
      await runner.startTransaction();
      return await work(runner);
    } finally {
      if (runner.isTransactionActive) await runner.rollbackTransaction();
      await runner.release();
    }
  }

  /** The id of the session of a DataSource whose pool has one connection. */
  async sessionOf(runner: { query(sql: string): Promise<unknown> }): Promise<string> {
    const sql = `SELECT ${this.connections.sessionId} AS id`;
    const [row] = (await runner.query(sql)) as { id: unknown }[];
    return String(row?.id);
  }

  /** Resolves once the session waits for a lock. */
  async untilWaiting(sessionId: string): Promise<void> {
    await eventually(() => this.connections.isWaiting(this.sql.dataSource, sessionId), {
      what: `session ${sessionId} waits for a lock`,
    });
  }
}

export function record(overrides: Partial<OutboxRecord> = {}): OutboxRecord {
  return {
    eventId: newEventId(),
    name: 'order.placed',
    version: 1,
    category: 'domain',
    data: '{"orderId":"o1"}',
    metadata: null,
    headers: null,
    key: null,
    entityType: null,
    entityId: null,
    entityVersion: null,
    actorType: null,
    actorId: null,
    causationId: null,
    correlationId: null,
    occurredAt: null,
    delayMs: null,
    idempotencyKey: null,
    ...overrides,
  };
}

export function handler(id: string, overrides: Partial<RegisteredHandler> = {}): RegisteredHandler {
  return {
    id,
    events: ['order.placed'],
    queue: 'default',
    maxAttempts: 5,
    priority: 50,
    transactional: false,
    aliases: [],
    ...overrides,
  };
}

/** Appends records for their own sakes, each with its number as data. */
export async function appendMany(store: EventStore, count: number): Promise<string[]> {
  const records = Array.from({ length: count }, (_, index) => record({ data: `${index}` }));
  await store.append(records);
  return records.map(({ eventId }) => eventId);
}

/** One pass that must not find the namespace locked. */
export async function relayOnce(store: EventStore, limits = LIMITS): Promise<RelayedBatch> {
  const batch = await store.relay(limits);
  if (batch === 'busy') throw new Error('another relay holds the namespace');
  return batch;
}

/** A bus whose handlers have one delivery each of `count` events. */
export async function withDeliveries(
  context: ContractContext,
  { count = 1, handlers = ['mails'] }: { count?: number; handlers?: string[] } = {},
): Promise<Bus & { events: readonly LoggedEvent[] }> {
  const bus = await context.bus();
  await bus.store.registerHandlers(handlers.map((id) => handler(id)));
  await appendMany(bus.store, count);
  const { events } = await relayOnce(bus.store);
  return { ...bus, events };
}
