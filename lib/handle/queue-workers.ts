import { pause } from '../common/time-limit.js';
import type { EventQueue, QueueWorker, WorkOptions } from '../queue/event-queue.js';
import type { DeliveryExecutor } from './delivery-executor.js';

/**
 * Share of the grace time after which the signals of handlers that still run are aborted, so that
 * they can end by themselves.
 */
const ABORT_AT = 0.75;

/** The workers of this process, one per queue. */
export class QueueWorkers {
  private workers: QueueWorker[] = [];

  constructor(
    private readonly queue: EventQueue,
    private readonly executor: DeliveryExecutor,
    private readonly queues: readonly WorkOptions[],
  ) {}

  start(): void {
    if (this.workers.length > 0) return;
    this.workers = this.queues.map((options) =>
      this.queue.work(options, (job, earlierRuns) =>
        this.executor.process(job, options.queue, earlierRuns),
      ),
    );
  }

  /**
   * Takes no new jobs; waits for running handlers, at most `graceMs`, then leaves them behind within
   * `forceMs`. Idempotent.
   */
  async stop(graceMs: number, forceMs: number): Promise<void> {
    this.executor.drain();
    const workers = this.workers;
    this.workers = [];
    if (workers.length === 0) return;
    const stopped = new AbortController();
    const aborting = pause(graceMs * ABORT_AT, stopped.signal).then(() => {
      if (!stopped.signal.aborted) this.executor.abort();
    });
    await Promise.all(workers.map((worker) => worker.close(graceMs, forceMs)));
    stopped.abort();
    await aborting;
  }
}
