import { THIS_PROCESS } from '../queue/delivery-job.js';
import type { JobDelivery, TakenJob } from '../queue/event-queue.js';
import type { DeliveryRef, DeliveryState } from '../store/event-store.js';

/** A delivery is not fresh for longer, in ms. */
export const FRESH_MS = 50;

/**
 * The state of a delivery that this process has just made, and whose job can't be a repeat; undefined: it
 * must be read. In other processes too, because their clocks may differ. Completing it asks for its state
 * in any case.
 *
 * @param rescueAfterMs from then on a rescue may have had it run
 * @param now by `performance.now()`
 */
export function freshState(
  ref: DeliveryRef,
  { fresh, event }: JobDelivery,
  { earlierRuns }: TakenJob,
  rescueAfterMs: number,
  now: number,
): DeliveryState | undefined {
  if (fresh === undefined || event === undefined || earlierRuns > 0) return undefined;
  const { by, since, maxAttempts } = fresh;
  if (by !== THIS_PROCESS || now >= since + Math.min(FRESH_MS, rescueAfterMs)) return undefined;
  const { position, handler, epoch } = ref;
  const ofJob = { position, handler, epoch, eventId: event.eventId, maxAttempts };
  return { ...ofJob, chunk: null, status: 'queued', attempts: 0 };
}
