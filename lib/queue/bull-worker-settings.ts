import type { BullWorkerSettings } from './bull-backend.js';
import { RetryJob, type WorkOptions } from './event-queue.js';

/** Between two tries of BullMQ to acknowledge a job, or to fetch one. */
const RUN_RETRY_MS = 1_000;
/** When BullMQ asks for a delay after an error that is not ours. */
const UNEXPECTED_RETRY_MS = 5_000;

export function workerSettings(options: WorkOptions): BullWorkerSettings {
  const { concurrency, limiter, lockDurationMs, pollIntervalMs } = options;
  return {
    autorun: false,
    concurrency,
    ...(limiter !== undefined && { limiter }),
    lockDuration: lockDurationMs,
    stalledInterval: lockDurationMs,
    // A stalled job is run again, always: the database knows whether it is done.
    maxStalledCount: 2_147_483_647,
    drainDelay: pollIntervalMs / 1_000,
    runRetryDelay: RUN_RETRY_MS,
    settings: {
      backoffStrategy: (_attempts, _type, error) =>
        error instanceof RetryJob ? error.delayMs : UNEXPECTED_RETRY_MS,
    },
  };
}
