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

/** What takes longer is given up and repeated: BullMQ may wait for ever (D4, D15). */
const ANSWER_LIMIT_MS = 10_000;

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
  private closed = false;

  constructor(
    private readonly backend: BullBackend,
    private readonly scope: { namespace: string; identity: string },
    signals: Signals,
  ) {
    this.description = `BullMQ on ${backend.description}`;
    this.health = new QueueHealth(this.description, signals);
  }

  async ready(): Promise<void> {
    // BullMQ's calls never settle on closed connections (D15).
    if (this.closed)
      throw new QueueUnavailableError(this.description, 'this process has closed it');
    try {
      await this.backend.connect();
    } catch (error) {
      throw this.unavailable(error);
    }
    this.health.up();
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
        return this.use(queue, (bull) => bull.addBulk(bulk));
      }),
    );
  }

  work(options: WorkOptions, process: ProcessJob): QueueWorker {
    const name = queueName(this.scope, options.queue);
    return new BullQueueWorker(this.backend, this.health, name, options, process);
  }

  async close(limitMs: number): Promise<void> {
    this.closed = true;
    const queues = [...this.queues.values()];
    this.queues.clear();
    const closed = Promise.all(queues.map((queue) => queue.close()));
    // What does not close in time is cut off (D12).
    await settleWithin(closed, limitMs / 2);
    await settleWithin(this.backend.disconnect(), limitMs / 2);
  }

  /** Within a time limit, and with a new BullMQ queue after a failure. */
  private async use<T>(queue: string, work: (bull: BullQueue) => Promise<T>): Promise<T> {
    await this.ready();
    try {
      return await withTimeLimit(
        work(this.queue(queue)),
        ANSWER_LIMIT_MS,
        () => new Error(`no answer in ${ANSWER_LIMIT_MS} ms`),
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
      bull = this.backend.createQueue(queueName(this.scope, queue));
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

function toBullJob({ id, data, priority }: DeliveryJob) {
  return {
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
  };
}
