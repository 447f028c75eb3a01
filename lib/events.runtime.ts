import type { SchedulerRegistry } from '@nestjs/schedule';
import type { DataSource } from 'typeorm';
import type { EventRegistry } from './event/event-registry.js';
import { EventsLifecycle } from './events.lifecycle.js';
import { wire, type EventsServices, type NestParts } from './events.wiring.js';
import { QueueWorkers } from './handle/queue-workers.js';
import { logSignals } from './observability/signal-logger.js';
import { Signals } from './observability/signals.js';
import { createQueue } from './queue/create-queue.js';
import type { EventQueue } from './queue/event-queue.js';
import { DeliveryPusher } from './relay/delivery-pusher.js';
import { QueueWatch } from './relay/queue-watch.js';
import { Relay } from './relay/relay.js';
import { Rescue } from './relay/rescue.js';
import type { ResolvedOptions } from './resolve-options.js';
import type { EventStore } from './store/event-store.js';
import { createStores } from './store/create-store.js';
import { migrateAtBoot } from './store/migrations/boot-migration.js';
import { createAnnouncer, createListener } from './wake/create-wake-ups.js';

/** Everything of one `EventsModule`, wired. */
export interface EventsRuntime {
  readonly services: EventsServices;
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
  nest: NestParts & { readonly scheduler: SchedulerRegistry },
): Promise<EventsRuntime> {
  const signals = new Signals(options.namespace);
  logSignals(signals);
  const stores = createStores(dataSource, options);
  const store = stores.events;
  await migrateAtBoot(dataSource, options.tables, options.migrate);
  const identity = await store.prepare();
  const queue = await openQueue(options, identity, dataSource, signals);
  const relaying = createRelay(options, store, queue, signals);
  const { relay } = relaying;
  const place = { dataSource, identity, target: options.queue };
  const announcer = relay === undefined ? await createAnnouncer(place) : undefined;
  const listener = relay && (await createListener(place, () => relay.wake()));
  const { services, executor, directory, explorer, paces, ping, unwatch } = wire({
    options,
    dataSource,
    stores,
    registry,
    signals,
    nest,
    queue,
    relay,
    onCommitted: () => (relay ?? announcer)?.wake(),
    onRedriven: () => relaying.rescue?.trigger(),
  });
  const queues = options.workers;
  const works = queue !== undefined && queues.length > 0;
  const workers = works ? new QueueWorkers({ queue, executor, queues, signals, ping }) : undefined;
  const lifecycle = new EventsLifecycle({
    options,
    store,
    explorer,
    directory,
    handlers: services.handlers,
    paces,
    queue,
    ...relaying,
    workers,
    wakeUps: announcer ?? listener,
    scheduler: nest.scheduler,
    signals,
    unwatch,
  });
  return { services, lifecycle };
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

interface Relaying {
  readonly relay: Relay | undefined;
  readonly rescue: Rescue | undefined;
  readonly queueWatch: QueueWatch | undefined;
}

function createRelay(
  options: ResolvedOptions,
  store: EventStore,
  queue: EventQueue | undefined,
  signals: Signals,
): Relaying {
  if (queue === undefined || !options.relay.enabled) {
    return { relay: undefined, rescue: undefined, queueWatch: undefined };
  }
  const pusher = new DeliveryPusher(queue, options);
  const limits = { batchSize: options.relay.batchSize, rescueAfterMs: options.rescue.afterMs };
  return {
    relay: new Relay(store, pusher, signals, limits),
    rescue: new Rescue(store, pusher, signals, limits),
    queueWatch: new QueueWatch(store, queue, pusher, signals),
  };
}
