import { AsyncLocalStorage } from 'node:async_hooks';
import { pause, settleWithin, withTimeLimit } from '../common/time-limit.js';
import type { BullBackend, BullWorker } from './bull-backend.js';
import {
  RetryJob,
  type DeliveryJobData,
  type ProcessJob,
  type QueueWorker,
  type WorkOptions,
} from './event-queue.js';
import type { QueueHealth } from './queue-health.js';

const READY_LIMIT_MS = 10_000;
const RECONNECT_MS = 1_000;
const FORCE_LIMIT_MS = 1_000;
/** When BullMQ asks for a delay after an error that is not ours. */
const UNEXPECTED_RETRY_MS = 5_000;
/** When a job that was left behind may run elsewhere: this process has ended by then. */
const LEFT_BEHIND_MS = 1_000;

/** Protected in BullMQ's class; nothing public ends these timers of a worker that can't close. */
interface BullWorkerTimers {
  readonly lockManager?: { close(): Promise<void> };
  readonly stalledCheckStopper?: () => void;
}

/**
 * A BullMQ worker that starts as soon as its backend can be reached: a worker made during an outage
 * remembers its failed start for ever (D14), so none is made before.
 */
export class BullQueueWorker implements QueueWorker {
  private readonly stopping = new AbortController();
  private readonly started: Promise<void>;
  private worker: BullWorker | undefined;
  /** Of each running job: ends it for the queue. */
  private readonly running = new Set<(reason: RetryJob) => void>();

  constructor(
    private readonly backend: BullBackend,
    private readonly health: QueueHealth,
    private readonly name: string,
    private readonly options: WorkOptions,
    private readonly process: ProcessJob,
  ) {
    // Its own context, so that no handler inherits one from whoever started the app.
    this.started = AsyncLocalStorage.snapshot()(() => this.start());
  }

  async close(graceMs: number, forceMs: number): Promise<void> {
    this.stopping.abort();
    const closed = this.started.then(() => this.worker?.close());
    if (await settleWithin(closed, graceMs)) return;
    for (const leave of this.running) leave(new RetryJob(LEFT_BEHIND_MS));
    if (await settleWithin(closed, forceMs / 2)) return;
    if (this.worker !== undefined) await this.cutOff(this.worker, forceMs / 2);
  }

  /**
   * For a worker that can't reach its queue: a close that has begun waits even if it is forced now.
   * Jobs that still run keep their lock until it expires; another worker then takes them.
   */
  private async cutOff(worker: BullWorker, limitMs: number): Promise<void> {
    const { lockManager, stalledCheckStopper } = worker as unknown as BullWorkerTimers;
    stalledCheckStopper?.();
    await lockManager?.close();
    await settleWithin(Promise.all([worker.close(true), worker.disconnect()]), limitMs);
  }

  private async start(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      let worker: BullWorker | undefined;
      try {
        await this.backend.connect();
        worker = this.create();
        const ready = worker.waitUntilReady();
        await withTimeLimit(ready, READY_LIMIT_MS, () => new Error('worker start timed out'));
        this.health.up();
        this.worker = worker;
        worker.run().catch((error: unknown) => this.health.report(this.options.queue, error));
        return;
      } catch (error) {
        this.health.down(error);
        if (worker !== undefined) await this.cutOff(worker, FORCE_LIMIT_MS);
        await pause(RECONNECT_MS, this.stopping.signal);
      }
    }
  }

  private create(): BullWorker {
    const { concurrency, limiter, lockDurationMs, pollIntervalMs, queue } = this.options;
    const worker = this.backend.createWorker(
      this.name,
      ({ data, attemptsMade }) => this.run(data, attemptsMade),
      {
        autorun: false,
        concurrency,
        ...(limiter !== undefined && { limiter }),
        lockDuration: lockDurationMs,
        stalledInterval: lockDurationMs,
        // A stalled job is run again, always: the database knows whether it is done.
        maxStalledCount: 2_147_483_647,
        drainDelay: pollIntervalMs / 1_000,
        runRetryDelay: RECONNECT_MS,
        settings: {
          backoffStrategy: (_attempts, _type, error) =>
            error instanceof RetryJob ? error.delayMs : UNEXPECTED_RETRY_MS,
        },
      },
    );
    worker.on('error', (error) => this.health.report(queue, error));
    worker.on('active', () => this.health.up());
    return worker;
  }

  private run(data: DeliveryJobData, earlierRuns: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.running.add(reject);
      this.process(data, earlierRuns)
        .then(resolve, reject)
        .finally(() => this.running.delete(reject));
    });
  }
}
