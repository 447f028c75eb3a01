import { settleWithin, withTimeLimit } from '../common/time-limit.js';
import { QueueUnavailableError } from '../errors.js';
import type { Signals } from '../observability/signals.js';
import type { BullBackend, BullQueue } from './bull-backend.js';
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

/** A push that takes longer is given up and repeated: BullMQ may wait for ever (D4, D15). */
const PUSH_LIMIT_MS = 10_000;

/**
 * BullMQ never decides about a retry by itself: a job is run until its delivery is done, however
 * often; the delivery's attempts are counted in the database. The limit of an int32 stands for
 * "always".
 */
const ALWAYS = 2_147_483_647;

/** {@link EventQueue} on BullMQ. */
export class BullEventQueue implements EventQueue {
  readonly description: string;
  private readonly queues = new Map<string, BullQueue>();
  private readonly health: QueueHealth;

  constructor(
    private readonly backend: BullBackend,
    private readonly namespace: string,
    signals: Signals,
  ) {
    this.description = `BullMQ on ${backend.description}`;
    this.health = new QueueHealth(this.description, signals);
  }

  async ready(): Promise<void> {
    try {
      await this.backend.connect();
    } catch (error) {
      throw this.unavailable(error);
    }
    this.health.up();
  }

  async push(jobs: readonly DeliveryJob[]): Promise<void> {
    await this.ready();
    const perQueue = new Map<string, DeliveryJob[]>();
    for (const job of jobs) perQueue.set(job.queue, [...(perQueue.get(job.queue) ?? []), job]);
    await Promise.all([...perQueue].map(([queue, list]) => this.pushTo(queue, list)));
  }

  work(options: WorkOptions, process: ProcessJob): QueueWorker {
    const name = queueName(this.namespace, options.queue);
    return new BullQueueWorker(this.backend, this.health, name, options, process);
  }

  async close(limitMs: number): Promise<void> {
    const queues = [...this.queues.values()];
    this.queues.clear();
    const closed = Promise.all(queues.map((queue) => queue.close()));
    // What does not close in time is cut off (D12).
    await settleWithin(closed, limitMs / 2);
    await settleWithin(this.backend.disconnect(), limitMs / 2);
  }

  private async pushTo(queue: string, jobs: readonly DeliveryJob[]): Promise<void> {
    const added = this.queue(queue).addBulk(
      jobs.map(({ id, data, priority }) => ({
        name: data.handler,
        data,
        opts: {
          jobId: id,
          attempts: ALWAYS,
          backoff: { type: 'delivery' },
          removeOnComplete: true,
          removeOnFail: true,
          stackTraceLimit: 0,
          ...(priority !== undefined && { priority }),
        },
      })),
    );
    try {
      await withTimeLimit(
        added,
        PUSH_LIMIT_MS,
        () => new Error(`no answer in ${PUSH_LIMIT_MS} ms`),
      );
    } catch (error) {
      // A BullMQ queue that failed while it started remembers that for ever (D14): make a new one.
      this.drop(queue);
      throw this.unavailable(error);
    }
  }

  private queue(queue: string): BullQueue {
    let bull = this.queues.get(queue);
    if (bull === undefined) {
      bull = this.backend.createQueue(queueName(this.namespace, queue));
      bull.on('error', (error) => this.health.report(queue, error));
      this.queues.set(queue, bull);
    }
    return bull;
  }

  private drop(queue: string): void {
    const bull = this.queues.get(queue);
    this.queues.delete(queue);
    bull?.close().catch(() => undefined);
  }

  private unavailable(error: unknown): QueueUnavailableError {
    this.health.down(error);
    const reason = error instanceof Error ? error.message : String(error);
    return new QueueUnavailableError(this.description, reason, { cause: error });
  }
}
