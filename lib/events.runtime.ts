import type { DiscoveryService, ModuleRef } from '@nestjs/core';
import type { SchedulerRegistry } from '@nestjs/schedule';
import type { DataSource, EntitySubscriberInterface } from 'typeorm';
import { ActiveTransaction } from './emit/active-transaction.js';
import { Causation } from './emit/causation.js';
import { EmitWindows } from './emit/emit-window.js';
import { EventBus } from './emit/event-bus.js';
import type { EventRegistry } from './event/event-registry.js';
import { EventsLifecycle } from './events.lifecycle.js';
import { DeliveryExecutor } from './handle/delivery-executor.js';
import { DeliveryMarks } from './handle/delivery-marks.js';
import { HandlerRunner } from './handle/handler-runner.js';
import { HandlerDirectory } from './handle/handler-directory.js';
import { HandlersExplorer } from './handle/handlers.explorer.js';
import { QueueWorkers } from './handle/queue-workers.js';
import { EventLog } from './log/event-log.js';
import { logSignals } from './observability/signal-logger.js';
import { Signals } from './observability/signals.js';
import { createQueue } from './queue/create-queue.js';
import type { EventQueue } from './queue/event-queue.js';
import { DeliveryPusher } from './relay/delivery-pusher.js';
import { Relay } from './relay/relay.js';
import { Rescue } from './relay/rescue.js';
import type { ResolvedOptions } from './resolve-options.js';
import type { EventStore } from './store/event-store.js';
import { createStore } from './store/create-store.js';
import { migrateAtBoot } from './store/migrations/boot-migration.js';

interface NestParts {
  readonly discovery: DiscoveryService;
  readonly moduleRef: ModuleRef;
  readonly scheduler: SchedulerRegistry;
}

/** Everything of one `EventsModule`, wired. */
export interface EventsRuntime {
  readonly bus: EventBus;
  readonly log: EventLog;
  readonly signals: Signals;
  readonly lifecycle: EventsLifecycle;
}

/**
 * Wires the module's parts and brings the tables up to date, so that whoever gets an `EventBus`
 * injected can emit. Starts nothing: that is the lifecycle's.
 */
export async function createRuntime(
  options: ResolvedOptions,
  dataSource: DataSource,
  registry: EventRegistry,
  nest: NestParts,
): Promise<EventsRuntime> {
  const signals = new Signals(options.namespace);
  logSignals(signals);
  const store = createStore(dataSource, options);
  await migrateAtBoot(dataSource, options.tables, options.migrate);
  const identity = await store.prepare();
  const queue = await openQueue(options, identity, dataSource, signals);
  const directory = new HandlerDirectory(store, registry);
  const { relay, rescue } = createRelay(options, store, queue, signals);
  const wake = () => relay?.wake();
  const transactions = new ActiveTransaction(dataSource, options.transaction);
  const windows = new EmitWindows({
    isTransactionFailed: (runner) => store.isTransactionFailed(runner),
    onCommitted: wake,
  });
  const unwatch = watchTransactions(dataSource, transactions, windows);
  const causation = new Causation();
  const marks = new DeliveryMarks(store, options.rescue.afterMs);
  const shared = { store, directory, transactions, windows, causation, signals };
  const runner = new HandlerRunner({
    ...shared,
    dataSource,
    marks,
    maxTransactions: maxTransactions(dataSource),
  });
  const executor = new DeliveryExecutor({
    ...shared,
    marks,
    runner,
    options: { maxErrorBytes: options.maxErrorBytes, delayAfter: options.handlers.delayAfter },
  });
  const works = queue !== undefined && options.workers.length > 0;
  const workers = works ? new QueueWorkers(queue, executor, options.workers) : undefined;
  const explorer = new HandlersExplorer(nest.discovery, nest.moduleRef, options.handlers);
  return {
    signals,
    log: new EventLog(store),
    bus: new EventBus({ ...shared, registry, options, wake }),
    lifecycle: new EventsLifecycle({
      options,
      store,
      explorer,
      directory,
      queue,
      relay,
      rescue,
      workers,
      scheduler: nest.scheduler,
      unwatch,
    }),
  };
}

/** A process that only emits needs no queue. */
async function openQueue(
  options: ResolvedOptions,
  identity: string,
  dataSource: DataSource,
  signals: Signals,
): Promise<EventQueue | undefined> {
  const { namespace, queue: target, migrate } = options;
  const workers = options.workers.length;
  if (!options.relay.enabled && workers === 0) return undefined;
  return createQueue(dataSource, { namespace, identity, target, workers, migrate }, signals);
}

function createRelay(
  options: ResolvedOptions,
  store: EventStore,
  queue: EventQueue | undefined,
  signals: Signals,
): { relay?: Relay; rescue?: Rescue } {
  if (queue === undefined || !options.relay.enabled) return {};
  const pusher = new DeliveryPusher(queue, options);
  const limits = { batchSize: options.relay.batchSize, rescueAfterMs: options.rescue.afterMs };
  return {
    relay: new Relay(store, pusher, signals, limits),
    rescue: new Rescue(store, pusher, signals, limits),
  };
}

function watchTransactions(
  dataSource: DataSource,
  transactions: ActiveTransaction,
  windows: EntitySubscriberInterface,
): () => void {
  transactions.install();
  dataSource.subscribers.push(windows);
  return () => {
    transactions.uninstall();
    const index = dataSource.subscribers.indexOf(windows);
    if (index >= 0) dataSource.subscribers.splice(index, 1);
  };
}

/**
 * Half of the DataSource's connections: a transactional handler that needs a second one must find
 * it, and so must the rest of the application.
 */
function maxTransactions(dataSource: DataSource): number {
  const { master } = dataSource.driver as { master?: { options?: { max?: number } } };
  return Math.max(1, Math.floor((master?.options?.max ?? 10) / 2));
}
