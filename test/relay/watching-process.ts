import { Signals } from 'nestjs-durable-events';
import type { DataSource } from 'typeorm';
import { onTestFinished } from 'vitest';
import { BullEventQueue } from '../../lib/queue/bull-event-queue.js';
import type { EventQueue } from '../../lib/queue/event-queue.js';
import { RedisBackend } from '../../lib/queue/redis/redis-backend.js';
import { countDeliveries, DeliveryPusher } from '../../lib/relay/delivery-pusher.js';
import { QueueWatch } from '../../lib/relay/queue-watch.js';
import { createStores } from '../../lib/store/create-store.js';
import type { EventStore } from '../../lib/store/event-store.js';
import { DEFAULT_TABLES } from '../../lib/store/migrations/migrator.js';
import { insertDeliveries, insertLogged } from '../support/seed.js';
import { recordSignals } from '../support/signals.js';
import type { TestBackends } from '../support/test-app.js';
import { eventually } from '../support/wait.js';

/** What a relay process has of the watch, without its timers: every look is taken by hand. */
export interface WatchingProcess {
  readonly store: EventStore;
  readonly queue: EventQueue;
  readonly watch: QueueWatch;
  readonly pusher: DeliveryPusher;
  readonly signals: Signals;
  /** Numbers of deliveries, per push. */
  readonly pushes: number[];
  readonly refills: { deliveries: number }[];
}

/** On the file's database and its Redis. Closed with the test. */
export async function watchingProcess(
  backends: TestBackends,
  dataSource: DataSource,
  namespace: string,
): Promise<WatchingProcess> {
  const store = createStores(dataSource, { namespace, tables: DEFAULT_TABLES }).events;
  const signals = new Signals(namespace);
  const { redis, prefix } = backends.redis as { redis: string; prefix: string };
  const scope = { namespace, identity: await store.prepare() };
  const queue = new BullEventQueue(new RedisBackend(redis, prefix, signals), scope, signals);
  onTestFinished(() => queue.close(1_000));
  await eventually(() => queue.ready().then(() => true), { what: 'the queue is connected' });
  const pushes: number[] = [];
  const push = queue.push.bind(queue);
  queue.push = (jobs) => {
    pushes.push(countDeliveries(jobs));
    return push(jobs);
  };
  const pusher = new DeliveryPusher(queue, { namespace, maxInlineBytes: 1_000 });
  const watch = new QueueWatch(store, queue, pusher, signals);
  const refills = recordSignals(signals, 'queue.refilled');
  return { store, queue, watch, pusher, signals, pushes, refills };
}

/** Deliveries as a relay leaves them, of events 1 to `count` to the handler `noted`. */
export async function queueDeliveries(
  dataSource: DataSource,
  namespace: string,
  count: number,
): Promise<void> {
  await insertLogged(dataSource, namespace, { count });
  await insertDeliveries(dataSource, namespace, { count });
}
