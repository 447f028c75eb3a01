import { withTimeLimit } from '../common/time-limit.js';
import type { BullJob } from './bull-backend.js';

/** For the queue's answer, in ms. */
const ANSWER_LIMIT_MS = 2_000;

/**
 * Renews the lock of a job that waited long, and tells whether it is still this worker's. No answer
 * means no: another worker may run it by now.
 */
export async function keepsLock(job: BullJob, durationMs: number): Promise<boolean> {
  const noAnswer = () => new Error('no answer');
  try {
    const extended = job.extendLock(job.token ?? '', durationMs);
    return (await withTimeLimit(extended, ANSWER_LIMIT_MS, noAnswer)) === 1;
  } catch {
    return false;
  }
}
