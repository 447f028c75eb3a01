import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';
import type { EntityManager, QueryRunner } from 'typeorm';
import { parseDuration, type Duration } from '../common/duration.js';
import { Semaphore } from '../common/semaphore.js';
import type { ActiveTransaction } from '../emit/active-transaction.js';
import type { EmitOptions, EmittedEvent } from '../emit/emit.options.js';
import type { EmitData } from '../emit/event-bus.js';
import { InvalidOptionsError } from '../errors.js';
import type { EventsServices } from '../events.wiring.js';
import { checkObject } from '../resolve-options.js';
import type { Store } from '../store/store.js';
import type { Drain, Retries } from './drain.js';
import type {
  AdvanceOptions,
  DrainOptions,
  ExpectEmittedOptions,
  TestingMode,
} from './events-testing.options.js';
import {
  expectEmitted,
  expectEnded,
  expectNotEmitted,
  type Recording,
} from './expect/expectations.js';
import type { Partially } from './expect/match.js';
import type { DeliveryRun } from './record/delivery-run.js';
import { nameOf, type DataOf, type EventRef, type Recorded } from './record/recorded-event.js';
import { DrainBlockedError } from './testing.errors.js';
import { checkRetries, checkWhole } from './resolve-testing-options.js';
import type { TestingHandlers } from './testing-handlers.js';
import type { TestingStorageParts } from './testing-storage.js';

/** Attempts of one drain, unless it says otherwise. */
const DEFAULT_LIMIT = 1_000;
/** One for a transactional handler, one for what it reads apart from that. */
const CONNECTIONS_TO_DRAIN = 2;

/**
 * What is asked of an event: properties of its data, in which anything may be left out, or a function
 * of its data.
 */
export type EventMatch<Event> =
  Partially<DataOf<Event>> | ((data: DataOf<Event>, event: Recorded<Event>) => boolean);

/** What {@link EventsTesting} works with. */
export interface EventsTestingParts {
  readonly mode: TestingMode;
  readonly retries: Retries;
  readonly services: EventsServices;
  readonly transactions: ActiveTransaction;
  readonly storage: TestingStorageParts;
  readonly store: Store;
  readonly handlers: TestingHandlers;
  readonly drain: Drain;
}

/**
 * Drives and watches the events of an application under test. Get it of the testing module.
 *
 * @example
 * const events = module.get(EventsTesting);
 * await orders.place({ id: 'o1', total: 42 });
 * events.expectEmitted(OrderPlaced, { orderId: 'o1' });
 * await events.drain();
 * events.expectDelivered('mails.order-confirmation');
 */
export class EventsTesting {
  /** One drain after the other. */
  private readonly turn = new Semaphore(1);
  private readonly draining = new AsyncLocalStorage<true>();
  /** Of the boot: what runs after a commit must not get to see the transaction that has ended. */
  private readonly atBoot = new AsyncResource('EventsTesting');
  /** Inline: that wait for their handlers. */
  private commits = 0;
  private runs: DeliveryRun[] = [];

  constructor(private readonly parts: EventsTestingParts) {}

  /**
   * Relays what is committed and due, runs its handlers, one after the other in the order of the log,
   * and goes on until nothing is due, with what the handlers have emitted too. Errors of handlers are
   * in what it returns.
   *
   * Called in a transaction, everything is read and written in that transaction, by handlers too, so
   * that a rollback takes it back: in the active one, or in that of `manager`.
   *
   * @returns what was run, in order
   * @throws InvalidOptionsError for an option that is unknown or can't be used
   * @throws DrainLimitError after `limit` attempts
   * @throws DrainBlockedError where the database keeps it from going on
   */
  async drain(options: DrainOptions = {}): Promise<DeliveryRun[]> {
    const { mode, retries: byDefault } = this.parts;
    const { retries = byDefault, limit = DEFAULT_LIMIT, manager } = options;
    checkObject(options, 'drain', ['retries', 'limit', 'manager']);
    checkRetries(retries);
    checkWhole('drain.limit', limit, 1);
    if (mode === 'off') {
      throw new InvalidOptionsError('mode', "is 'off': nothing is ever drained. Use 'manual'.");
    }
    if (this.draining.getStore() === true) {
      throw new Error(
        'drain() was called by a handler that a drain runs: it would wait for itself',
      );
    }
    return this.joined(manager, () => this.exclusively(retries, limit));
  }

  /**
   * Lets time pass for everything that waits for it: delayed events, and next attempts. Nothing is run
   * by it: `drain()` does that.
   *
   * @example
   * await events.advance('1h');
   * await events.drain();
   */
  async advance(duration: Duration, options: AdvanceOptions = {}): Promise<void> {
    checkObject(options, 'advance', ['manager']);
    const { manager } = options;
    const ms = parseDuration(duration);
    if (ms === undefined) {
      throw new InvalidOptionsError(
        'advance',
        `is ${JSON.stringify(duration)}; use milliseconds or a duration such as '30s'.`,
      );
    }
    await this.joined(manager, () => this.parts.storage.advance(ms));
    this.parts.drain.advance(ms);
  }

  /**
   * Emits an event, in the active transaction or else in one of its own: the beginning of a test of
   * what handles it.
   *
   * @throws as `EventBus.emit`
   */
  async emit<Event extends EventRef>(
    event: Event,
    data: EmitData<Event>,
    options: EmitOptions = {},
  ): Promise<EmittedEvent> {
    await this.parts.handlers.ready();
    return this.parts.services.bus.emit(event, data, { standalone: 'allow', ...options });
  }

  /**
   * Runs `work` in a transaction that is rolled back in the end. All that is done there through the
   * DataSource takes part in it, and so do drains: transactions are savepoints in it. What is asked
   * for by HTTP runs elsewhere, and does not.
   */
  async rolledBack<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    const { dataSource, join } = this.parts.storage;
    const runner = dataSource.createQueryRunner();
    try {
      await runner.startTransaction();
      return await join.run(runner, () => work(runner.manager));
    } finally {
      if (runner.isTransactionActive) await runner.rollbackTransaction();
      await runner.release();
    }
  }

  /** Forgets what was emitted and delivered, and deletes it from the namespace. */
  async clear(): Promise<void> {
    const { storage, store, handlers } = this.parts;
    await this.turn.run(async () => {
      await storage.clear();
      await store.prepare();
      await handlers.register();
      storage.emitted.clear();
      this.runs = [];
    });
  }

  /**
   * The events that were emitted and not rolled back, in their order; those of transactions that are
   * still open are among them, duplicates by idempotency key are not.
   *
   * @param event only those of this definition or name
   */
  emitted(): Recorded<string>[];
  emitted<Event extends EventRef>(event: Event): Recorded<Event>[];
  emitted(event?: EventRef): Recorded<string>[] {
    const all = this.parts.storage.emitted.all();
    return event === undefined ? all : all.filter(({ name }) => name === nameOf(event));
  }

  /**
   * All attempts that were made, in their order.
   *
   * @param handler only those of this handler
   */
  deliveries(handler?: string): DeliveryRun[] {
    return this.runs.filter((run) => handler === undefined || run.handler === handler);
  }

  /**
   * @throws AssertionError unless such an event was emitted (`times`: just so often)
   * @throws InvalidOptionsError for an option that is unknown or can't be used
   */
  expectEmitted<Event extends EventRef>(
    event: Event,
    match?: EventMatch<Event>,
    options: ExpectEmittedOptions = {},
  ): void {
    checkObject(options, 'expectEmitted', ['times']);
    const { times } = options;
    if (times !== undefined) checkWhole('expectEmitted.times', times, 0);
    expectEmitted(this.recording(), nameOf(event), match, times);
  }

  /** @throws AssertionError if such an event was emitted */
  expectNotEmitted<Event extends EventRef>(event: Event, match?: EventMatch<Event>): void {
    expectNotEmitted(this.recording(), nameOf(event), match);
  }

  /** @throws AssertionError unless the handler has handled such an event */
  expectDelivered<Event extends EventRef = string>(
    handler: string,
    match?: EventMatch<Event>,
  ): void {
    expectEnded(this.recording(), handler, 'completed', match);
  }

  /** @throws AssertionError unless a delivery of such an event to the handler is a dead letter */
  expectDead<Event extends EventRef = string>(handler: string, match?: EventMatch<Event>): void {
    expectEnded(this.recording(), handler, 'dead', match);
  }

  /** After a commit, or a standalone emit. The commit waits for what it returns. */
  committed(): Promise<void> | undefined {
    if (this.parts.mode !== 'inline' || this.draining.getStore() === true) return undefined;
    const { join } = this.parts.storage;
    const runner = join.current();
    return this.atBoot.runInAsyncScope(() =>
      runner === undefined ? this.inPool() : join.run(runner, () => this.runInline()),
    );
  }

  /** Waits for a drain that is under way. */
  async close(): Promise<void> {
    await this.turn.run(async () => undefined);
  }

  /** Each commit keeps its connection while it waits: some must be left for what it waits for. */
  private async inPool(): Promise<void> {
    const { poolSize, sharesRunner } = this.parts.store;
    const needed = this.commits + CONNECTIONS_TO_DRAIN + 1;
    if (this.commits > 0 && needed > poolSize && sharesRunner !== true) {
      throw new DrainBlockedError(
        `in inline mode ${this.commits + 1} transactions have committed at once, and wait for handlers that ` +
          `a pool of ${poolSize} connections has none left for. Run fewer at once, or use drain().`,
      );
    }
    this.commits++;
    try {
      await this.runInline();
    } finally {
      this.commits--;
    }
  }

  private async runInline(): Promise<void> {
    const runs = await this.exclusively(this.parts.retries, DEFAULT_LIMIT);
    const last = new Map(runs.map((run) => [`${run.handler} ${run.event.eventId}`, run]));
    const errors = [...last.values()].flatMap(({ outcome, error }) =>
      outcome === 'completed' ? [] : [error],
    );
    if (errors.length === 1) throw errors[0];
    if (errors.length > 1) throw new AggregateError(errors, `${errors.length} handlers failed`);
  }

  private exclusively(retries: Retries, limit: number): Promise<DeliveryRun[]> {
    const onRun = (run: DeliveryRun) => void this.runs.push(run);
    return this.turn.run(() =>
      this.draining.run(true, async () => {
        await this.parts.handlers.ready();
        return this.parts.drain.run(retries, limit, onRun);
      }),
    );
  }

  /** Runs `work` in the manager's transaction, or in the active one; else on connections of its own. */
  private joined<T>(manager: EntityManager | undefined, work: () => Promise<T>): Promise<T> {
    const { transactions, storage } = this.parts;
    const runner: QueryRunner | undefined = transactions.find(manager);
    if (runner?.isTransactionActive === true) return storage.join.run(runner, work);
    if (manager === undefined) return work();
    throw new InvalidOptionsError('manager', 'has no open transaction to drain in.');
  }

  private recording(): Recording {
    const { storage, handlers, mode } = this.parts;
    return { emitted: storage.emitted.all(), runs: this.runs, handlers: handlers.all(), mode };
  }
}
