import type {
  ChunkedRef,
  DeliveryRef,
  DeliveryState,
  FailedAttempt,
  RelayLimits,
  RescuedBatch,
} from '../event-store.js';
import { compareKeys } from '../lock-order.js';
import { toRescuedBatch } from '../rescued-batch.js';
import type { MemoryData } from './memory.data.js';
import { toLoggedEvent, type DeliveryRow } from './memory.rows.js';

/** A delivery that waits is looked at again after an hour at the latest. */
const LONGEST_POSTPONEMENT_MS = 3_600_000;

/** States in the order asked. */
export function deliveryStates(
  data: MemoryData,
  refs: readonly DeliveryRef[],
): (DeliveryState | undefined)[] {
  return refs.map(({ position, handler }) => {
    const row = data.delivery(position, handler);
    const eventId = data.log.get(position)?.eventId;
    if (row === undefined || eventId === undefined) return undefined;
    const { epoch, chunk, status, attempts, maxAttempts } = row;
    return { position, handler, eventId, epoch, chunk, status, attempts, maxAttempts };
  });
}

export function complete(data: MemoryData, refs: readonly DeliveryRef[]): boolean[] {
  const now = data.now();
  return refs.map((ref) => {
    const row = queued(data, ref);
    if (row === undefined) return false;
    row.status = 'completed';
    row.attempts++;
    row.lastAttemptAt = now;
    row.completedAt = now;
    row.retryAt = null;
    row.rescueAt = null;
    data.ledger.completed++;
    return true;
  });
}

export function fail(
  data: MemoryData,
  attempts: readonly FailedAttempt[],
  rescueAfterMs: number,
): boolean[] {
  const now = data.now();
  const marked = new Set<DeliveryRow>();
  return attempts.map((failed) => {
    const { attempt, epoch, error, dead, retryInMs } = failed;
    const row = queued(data, failed);
    // Recorded twice (two runs of a job), an attempt counts once; named twice, it is marked once.
    if (row === undefined || marked.has(row)) return false;
    if (row.attempts !== attempt - 1 && row.attempts !== attempt) return false;
    marked.add(row);
    row.attempts = attempt;
    row.lastError = error;
    row.chunk = null;
    row.lastAttemptAt = now;
    row.status = dead ? 'dead' : 'queued';
    row.deadAt = dead ? now : null;
    row.retryAt = dead ? null : now + Math.round(retryInMs);
    row.rescueAt = dead ? null : now + Math.round(retryInMs + rescueAfterMs);
    data.addAttempt(row.position, row.handler, { attempt, epoch, error, failedAt: now });
    return true;
  });
}

/** Takes what is overdue, and postpones it by as long as it has waited already. */
export function rescue(data: MemoryData, limits: RelayLimits): RescuedBatch {
  const now = data.now();
  const overdue = data
    .deliveries()
    .filter(({ status, rescueAt }) => status === 'queued' && rescueAt !== null && rescueAt <= now)
    .toSorted((a, b) => Number(a.rescueAt) - Number(b.rescueAt) || compareKeys(a, b))
    .slice(0, limits.batchSize);
  for (const row of overdue) {
    const waited = Math.max(limits.rescueAfterMs, now - row.queuedAt);
    row.rescueAt = now + Math.min(Math.round(waited), LONGEST_POSTPONEMENT_MS);
  }
  const events = overdue.flatMap(({ position }) => {
    const event = data.log.get(position);
    return event === undefined ? [] : [toLoggedEvent(event)];
  });
  const taken = overdue.map(({ position, handler, epoch, chunk }) => ({
    position,
    handler,
    epoch,
    chunk,
  }));
  return toRescuedBatch(taken, events, limits.batchSize);
}

export function unrescue(data: MemoryData, refs: readonly DeliveryRef[], afterMs: number): void {
  const now = data.now();
  for (const ref of refs) {
    const row = queued(data, ref);
    if (row !== undefined) row.rescueAt = now + Math.round(afterMs);
  }
}

export function setChunks(data: MemoryData, refs: readonly ChunkedRef[]): boolean[] {
  return refs.map((ref) => {
    const row = queued(data, ref);
    if (row === undefined) return false;
    row.chunk = ref.chunk;
    return true;
  });
}

/** The delivery, if it is queued in the expected epoch. */
function queued(data: MemoryData, ref: DeliveryRef): DeliveryRow | undefined {
  const row = data.delivery(ref.position, ref.handler);
  return row?.status === 'queued' && row.epoch === ref.epoch ? row : undefined;
}
