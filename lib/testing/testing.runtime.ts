import type { DataSource } from 'typeorm';
import type { EventRegistry } from '../event/event-registry.js';
import { wire, type EventsServices, type NestParts } from '../events.wiring.js';
import { logSignals } from '../observability/signal-logger.js';
import { Signals } from '../observability/signals.js';
import { DeliveryPusher } from '../relay/delivery-pusher.js';
import { Relay } from '../relay/relay.js';
import { Drain } from './drain.js';
import { EventsTesting } from './events-testing.js';
import type { MemoryDataSource } from './memory/memory.data-source.js';
import type { ResolvedTestingOptions } from './resolve-testing-options.js';
import { TestingHandlers } from './testing-handlers.js';
import { TestingLifecycle } from './testing.lifecycle.js';
import { TestingQueue } from './testing-queue.js';
import { openDatabase, openMemory } from './testing-storage.js';

/** Everything of one `EventsTestingModule`, wired. */
export interface TestingRuntime {
  readonly services: EventsServices;
  readonly testing: EventsTesting;
  readonly lifecycle: TestingLifecycle;
}

/**
 * Wires the parts of the real module upon a queue that holds nothing, with nothing that drives them
 * but the test: no relay loop, no workers, no timers.
 *
 * @param dataSource the application's, or the stand-in for one
 */
export async function createTestingRuntime(
  { events: options, ...how }: ResolvedTestingOptions,
  dataSource: { readonly own: DataSource } | { readonly memory: MemoryDataSource },
  registry: EventRegistry,
  nest: NestParts,
): Promise<TestingRuntime> {
  const signals = new Signals(options.namespace);
  logSignals(signals);
  const storage =
    'own' in dataSource
      ? await openDatabase(options, dataSource.own)
      : openMemory(options, dataSource.memory);
  const { stores } = storage;
  const store = stores.events;
  await store.prepare();
  const queue = new TestingQueue();
  const pusher = new DeliveryPusher(queue, options);
  const { batchSize } = options.relay;
  const relay = new Relay(store, pusher, signals, {
    batchSize,
    rescueAfterMs: options.rescue.afterMs,
  });
  const wiring = wire({
    options,
    dataSource: storage.dataSource,
    stores,
    registry,
    signals,
    nest,
    queue,
    relay: undefined,
    onCommitted: () => testing.committed(),
    onRedriven: () => undefined,
  });
  const { services, directory, executor } = wiring;
  const handlers = new TestingHandlers({ ...wiring, store, join: storage.join });
  const drain = new Drain({ store, relay, pusher, directory, executor, signals });
  const testing = new EventsTesting({ ...how, ...wiring, storage, store, handlers, drain });
  const lifecycle = new TestingLifecycle({
    testing,
    handlers,
    storage,
    unwatch: wiring.unwatch,
    clearAtEnd: how.ownNamespace,
  });
  return { services, testing, lifecycle };
}
