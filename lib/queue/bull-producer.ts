import { settleWithin, withTimeLimit } from '../common/time-limit.js';
import { QueueUnavailableError } from '../errors.js';
import type { BullBackend, BullQueue } from './bull-backend.js';
import { queueName } from './delivery-job.js';
import type { QueueHealth } from './queue-health.js';

/** What takes longer is given up and repeated: BullMQ may wait for ever (D4, D15). */
const ANSWER_LIMIT_MS = 10_000;

/** BullMQ's queues of one namespace, with a time limit on all that is asked of them. */
export class BullProducer {
  private readonly queues = new Map<string, BullQueue>();
  private closed = false;

  constructor(
    private readonly backend: BullBackend,
    private readonly scope: { namespace: string; identity: string },
    private readonly health: QueueHealth,
  ) {}

  /** @throws QueueUnavailableError */
  async ready(): Promise<void> {
    this.refuseIfClosed();
    try {
      await this.backend.connect();
    } catch (error) {
      throw this.unavailable(error);
    }
    this.health.up();
  }

  /** Makes sure of the connection first, which may cost a query. @throws QueueUnavailableError */
  async use<T>(queue: string, work: (bull: BullQueue) => Promise<T>): Promise<T> {
    await this.ready();
    return this.ask(queue, work);
  }

  /** Relies on the connection. @throws QueueUnavailableError */
  async ask<T>(queue: string, work: (bull: BullQueue) => Promise<T>): Promise<T> {
    this.refuseIfClosed();
    const since = performance.now();
    const bull = this.queue(queue);
    try {
      const answer = await withTimeLimit(
        work(bull),
        ANSWER_LIMIT_MS,
        () => new Error(`no answer in ${ANSWER_LIMIT_MS} ms`),
      );
      this.health.up();
      return answer;
    } catch (error) {
      this.drop(queue, bull);
      this.backend.distrust(since);
      throw this.unavailable(error);
    }
  }

  async close(limitMs: number): Promise<void> {
    this.closed = true;
    const queues = [...this.queues.values()];
    this.queues.clear();
    await settleWithin(Promise.all(queues.map((queue) => queue.close())), limitMs);
  }

  /** BullMQ's calls never settle on closed connections (D15). */
  private refuseIfClosed(): void {
    if (this.closed) throw this.error('this process has closed it');
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

  /** A BullMQ queue that failed while it started remembers that for ever (D14): make a new one. */
  private drop(queue: string, bull: BullQueue): void {
    if (this.queues.get(queue) === bull) this.queues.delete(queue);
    bull.close().catch(() => undefined);
  }

  private unavailable(cause: unknown): QueueUnavailableError {
    this.health.down(cause);
    return this.error(cause instanceof Error ? cause.message : String(cause), { cause });
  }

  private error(reason: string, options?: ErrorOptions): QueueUnavailableError {
    return new QueueUnavailableError(this.health.target, reason, options);
  }
}
