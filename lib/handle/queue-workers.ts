import { pause } from '../common/time-limit.js';
import type { Signals } from '../observability/signals.js';
import type { EventQueue, QueueWorker, WorkOptions } from '../queue/event-queue.js';
import type { DeliveryExecutor } from './delivery-executor.js';
import { OutagePause } from './outage-pause.js';

/**
 * Share of the grace time after which the signals of handlers that still run are aborted, so that
 * they can end by themselves.
 */
const ABORT_AT = 0.75;

interface QueueWorkersParts {
  readonly queue: EventQueue;
  readonly executor: DeliveryExecutor;
  readonly queues: readonly WorkOptions[];
  readonly signals: Signals;
  /** Resolves if the database can be used. */
  readonly ping: () => Promise<unknown>;
}

/** The workers of this process, one per queue. They pause while the database can't be used. */
export class QueueWorkers {
  private workers: QueueWorker[] = [];
  private readonly outage: OutagePause;

  constructor(private readonly parts: QueueWorkersParts) {
    const { executor, ping, signals } = parts;
    const all = {
      pause: () => this.workers.forEach((worker) => worker.pause()),
      resume: () => this.workers.forEach((worker) => worker.resume()),
    };
    this.outage = new OutagePause(all, ping, signals);
    executor.listenForOutages((error) => this.outage.report(error));
  }

  start(): void {
    if (this.workers.length > 0) return;
    const { queue, queues, executor } = this.parts;
    this.workers = queues.map((options) => queue.work(options, (job) => executor.process(job)));
  }

  /**
   * Takes no new jobs; waits for running handlers, at most `graceMs`, then leaves them behind within
   * `forceMs`. Idempotent.
   */
  async stop(graceMs: number, forceMs: number): Promise<void> {
    const { executor } = this.parts;
    executor.drain();
    this.outage.stop();
    const workers = this.workers;
    this.workers = [];
    if (workers.length === 0) return;
    const stopped = new AbortController();
    const aborting = pause(graceMs * ABORT_AT, stopped.signal).then(() => {
      if (!stopped.signal.aborted) executor.abort();
    });
    await Promise.all(workers.map((worker) => worker.close(graceMs, forceMs)));
    stopped.abort();
    await aborting;
    executor.close();
  }
}
