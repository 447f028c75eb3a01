import type { DiscoveryService, ModuleRef } from '@nestjs/core';
import type { DataSource, EntitySubscriberInterface } from 'typeorm';
import { DeadLetters } from './dead-letters/dead-letters.js';
import { ActiveTransaction } from './emit/active-transaction.js';
import { Causation } from './emit/causation.js';
import { EmitWindows } from './emit/emit-window.js';
import { EventBus } from './emit/event-bus.js';
import type { EventRegistry } from './event/event-registry.js';
import { DeliveryExecutor } from './handle/delivery-executor.js';
import { DeliveryMarks } from './handle/delivery-marks.js';
import { DeliveryOutcomes } from './handle/delivery-outcomes.js';
import { HandlerDirectory } from './handle/handler-directory.js';
import { HandlerRegistry } from './handle/handler-registry.js';
import { HandlerRunner } from './handle/handler-runner.js';
import { HandlerTransactions } from './handle/handler-transactions.js';
import { HandlersExplorer } from './handle/handlers.explorer.js';
import { Paces } from './handle/paces.js';
import { EventsHealth } from './health/events-health.js';
import { EventLog } from './log/event-log.js';
import type { Signals } from './observability/signals.js';
import { Operations } from './operations/operations.js';
import type { EventQueue } from './queue/event-queue.js';
import type { Relay } from './relay/relay.js';
import type { ResolvedOptions } from './resolve-options.js';
import type { Stores } from './store/store.js';

/** What the database gets to answer the question whether it can be used, in ms. */
const PING_LIMIT_MS = 5_000;

/** What Nest gives to find handlers by. */
export interface NestParts {
  readonly discovery: DiscoveryService;
  readonly moduleRef: ModuleRef;
}

/** What a module's parts are wired upon; what drives them is up to the runtime. */
export interface Foundation {
  readonly options: ResolvedOptions;
  readonly dataSource: DataSource;
  readonly stores: Stores;
  readonly registry: EventRegistry;
  readonly signals: Signals;
  readonly nest: NestParts;
  /** Undefined in a process that only emits. */
  readonly queue: EventQueue | undefined;
  /** Undefined in a process that does not relay by itself. */
  readonly relay: Relay | undefined;
  /**
   * Called after the outermost commit of a transaction with emits, and after a standalone emit. What
   * it returns is waited for, and rejects the commit or the emit.
   */
  readonly onCommitted: () => void | Promise<void>;
  /** Dead letters were queued again. */
  readonly onRedriven: () => void;
}

/** What is injected into applications. */
export interface EventsServices {
  readonly bus: EventBus;
  readonly log: EventLog;
  readonly deadLetters: DeadLetters;
  readonly handlers: HandlerRegistry;
  readonly operations: Operations;
  readonly health: EventsHealth;
  readonly signals: Signals;
}

/** The parts that a runtime drives. */
export interface EventsWiring {
  readonly services: EventsServices;
  readonly executor: DeliveryExecutor;
  readonly directory: HandlerDirectory;
  readonly explorer: HandlersExplorer;
  readonly paces: Paces;
  readonly transactions: ActiveTransaction;
  /** Resolves if the database can be used; rejects within seconds, else. */
  readonly ping: () => Promise<unknown>;
  /** Lets go of the DataSource. */
  readonly unwatch: () => void;
}

/** Wires what emits, handles and reads events. Starts nothing, and relays nothing. */
export function wire(foundation: Foundation): EventsWiring {
  const { options, dataSource, stores, registry, signals, nest, onCommitted } = foundation;
  const store = stores.events;
  const directory = new HandlerDirectory(store, registry);
  const transactions = new ActiveTransaction(dataSource, options.transaction);
  const windows = new EmitWindows({
    isTransactionFailed: (runner) => store.isTransactionFailed(runner),
    watch: store.transactionWatch,
    isTransactionOpen: store.isTransactionOpen?.bind(store),
    onCommitted,
  });
  const unwatch = watchTransactions(dataSource, transactions, windows);
  const causation = new Causation();
  const marks = new DeliveryMarks(store, options.rescue.afterMs);
  const paces = new Paces();
  const shared = { store, directory, transactions, windows, causation, signals, paces };
  const handlerTransactions = new HandlerTransactions({
    ...shared,
    dataSource,
    maxTransactions: maxTransactions(store.poolSize),
  });
  const runner = new HandlerRunner({ ...shared, marks, handlerTransactions });
  const ping = () => store.hasDue(PING_LIMIT_MS);
  const executor = new DeliveryExecutor({
    ...shared,
    namespace: options.namespace,
    rescueAfterMs: options.rescue.afterMs,
    marks,
    runner,
    outcomes: new DeliveryOutcomes({
      ...shared,
      marks,
      ping,
      options: { maxErrorBytes: options.maxErrorBytes, delayAfter: options.handlers.delayAfter },
    }),
    push: async (jobs) => foundation.queue?.push(jobs),
  });
  const operations = new Operations(stores.operations, signals);
  const { deadLetters } = stores;
  return {
    services: {
      signals,
      operations,
      handlers: new HandlerRegistry({ store, deadLetters, directory, operations, signals }),
      deadLetters: new DeadLetters({
        store: deadLetters,
        events: store,
        operations,
        onRedriven: foundation.onRedriven,
      }),
      health: new EventsHealth({
        store: stores.health,
        queue: foundation.queue,
        relay: foundation.relay,
      }),
      log: new EventLog(store),
      bus: new EventBus({ ...shared, registry, options, onCommitted }),
    },
    executor,
    directory,
    paces,
    explorer: new HandlersExplorer(nest.discovery, nest.moduleRef, options.handlers),
    transactions,
    ping,
    unwatch,
  };
}

function watchTransactions(
  dataSource: DataSource,
  transactions: ActiveTransaction,
  windows: EntitySubscriberInterface,
): () => void {
  transactions.install();
  const unsubscribe = subscribe(dataSource, windows);
  return () => {
    transactions.uninstall();
    unsubscribe();
  };
}

/** Adds a subscriber to the DataSource; returns what takes it away again. */
export function subscribe(
  dataSource: DataSource,
  subscriber: EntitySubscriberInterface,
): () => void {
  const { subscribers } = dataSource;
  subscribers.push(subscriber);
  return () => {
    const index = subscribers.indexOf(subscriber);
    if (index >= 0) subscribers.splice(index, 1);
  };
}

/**
 * Half of the DataSource's connections: a transactional handler that needs a second one must find
 * it, and so must the rest of the application.
 */
function maxTransactions(poolSize: number): number {
  return Math.max(1, Math.floor(poolSize / 2));
}
