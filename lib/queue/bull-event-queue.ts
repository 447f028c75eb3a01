import { settleWithin } from '../common/time-limit.js';
import type { Signals } from '../observability/signals.js';
import { backlogOf } from './backlog.js';
import type { BullBackend } from './bull-backend.js';
import { toBullJob } from './bull-job.js';
import { BullProducer } from './bull-producer.js';
import { BullQueueWorker } from './bull-queue-worker.js';
import { queueName } from './delivery-job.js';
import type {
  DeliveryJob,
  EventQueue,
  ProcessJob,
  QueueWorker,
  WorkOptions,
} from './event-queue.js';
import { QueueHealth } from './queue-health.js';
import { WATCHDOG_TIMES, type WatchdogTimes } from './worker-watchdog.js';

/**
 * Field of the generation mark in BullMQ's metadata of the queue `default`, which lives as long as
 * its jobs. BullMQ writes its own fields one by one, so it leaves this one alone.
 */
const GENERATION_FIELD = 'events-generation';
const MARKED_QUEUE = 'default';

/** {@link EventQueue} on BullMQ. */
export class BullEventQueue implements EventQueue {
  readonly description: string;
  readonly watchIntervalMs: number;
  private readonly health: QueueHealth;
  private readonly producer: BullProducer;

  constructor(
    private readonly backend: BullBackend,
    private readonly scope: { namespace: string; identity: string },
    private readonly signals: Signals,
    private readonly watchdog: WatchdogTimes = WATCHDOG_TIMES,
  ) {
    this.description = `BullMQ on ${backend.description}`;
    this.watchIntervalMs = backend.watchIntervalMs;
    this.health = new QueueHealth(this.description, signals);
    this.producer = new BullProducer(backend, scope, this.health);
  }

  ready(): Promise<void> {
    return this.producer.ready();
  }

  async push(jobs: readonly DeliveryJob[]): Promise<void> {
    const perQueue = new Map<string, DeliveryJob[]>();
    for (const job of jobs) {
      const list = perQueue.get(job.queue);
      if (list === undefined) perQueue.set(job.queue, [job]);
      else list.push(job);
    }
    await Promise.all(
      [...perQueue].map(([queue, list]) => {
        const bulk = list.map(toBullJob);
        return this.producer.use(queue, (bull) => bull.addBulk(bulk));
      }),
    );
  }

  work(options: WorkOptions, process: ProcessJob): QueueWorker {
    const { backend, health, signals, watchdog } = this;
    return new BullQueueWorker({
      backend,
      health,
      signals,
      watchdog,
      name: queueName(this.scope, options.queue),
      options,
      process,
      backlog: () =>
        this.producer.ask(options.queue, (bull) => backlogOf(bull, options.limiter?.max)),
    });
  }

  async generation(): Promise<string | undefined> {
    const mark = await this.producer.use(MARKED_QUEUE, (bull) =>
      bull.getBackend().getQueueMetaField(GENERATION_FIELD),
    );
    return mark ?? undefined;
  }

  async mark(generation: string): Promise<void> {
    await this.producer.use(MARKED_QUEUE, (bull) =>
      bull.getBackend().setQueueMeta({ [GENERATION_FIELD]: generation }),
    );
  }

  async close(limitMs: number): Promise<void> {
    await this.producer.close(limitMs / 2);
    // What did not close in time is cut off (D12).
    await settleWithin(this.backend.disconnect(), limitMs / 2);
  }
}
