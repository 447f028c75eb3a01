import { nextBatch, parseBatchCursor } from '../batch-cursor.js';
import type {
  AttemptRecord,
  BatchRange,
  ChangedBatch,
  DeadEvent,
  DeadLetterCriteria,
  DeadLetterKey,
  DeadLetterRecord,
  DeadLetterStore,
} from '../dead-letter-store.js';
import { compareKeys } from '../lock-order.js';
import { redriveTargets } from '../redrive-targets.js';
import type { MemoryData } from './memory.data.js';
import { subscribed } from './memory.handlers.js';
import { iso, type DeliveryRow, type LogRow } from './memory.rows.js';

/** {@link DeadLetterStore} in the memory of this process. */
export class MemoryDeadLetterStore implements DeadLetterStore {
  constructor(private readonly data: MemoryData) {}

  async list(
    criteria: DeadLetterCriteria,
    limit: number,
    after?: DeadLetterKey,
  ): Promise<DeadLetterRecord[]> {
    const end = after && toPlace(after, Date.parse(after.deadAt));
    return this.dead(criteria)
      .filter(([, place]) => end === undefined || comparePlaces(place, end) < 0)
      .toSorted(([, a], [, b]) => comparePlaces(b, a))
      .slice(0, limit)
      .map(([row, { since }]) => toRecord(row, since, this.data.log.get(row.position)));
  }

  async attempts(position: number, handler: string): Promise<AttemptRecord[]> {
    return this.data
      .attempts(position, handler)
      .map(({ failedAt, ...rest }) => ({ ...rest, failedAt: iso(failedAt) }));
  }

  async countLost(criteria: DeadLetterCriteria): Promise<number> {
    return this.dead(criteria).filter(([{ position }]) => !this.data.log.has(position)).length;
  }

  async redrive(
    operationId: number,
    criteria: DeadLetterCriteria,
    range: BatchRange,
  ): Promise<ChangedBatch> {
    const targets = redriveTargets(subscribed(this.data));
    const found = this.deadBefore(operationId, criteria).filter(
      ([{ handler, position }]) => targets.has(handler) && this.data.log.has(position),
    );
    return this.change(operationId, found, range, (row, now) => {
      row.status = 'queued';
      row.epoch++;
      row.chunk = null;
      row.maxAttempts = row.attempts + (targets.get(row.handler) ?? 1);
      row.queuedAt = now;
      row.rescueAt = now;
      row.retryAt = null;
      row.deadAt = null;
    });
  }

  async discard(
    operationId: number,
    criteria: DeadLetterCriteria,
    reason: string,
    range: BatchRange,
  ): Promise<ChangedBatch> {
    const found = this.deadBefore(operationId, criteria);
    return this.change(operationId, found, range, (row, now) => {
      row.status = 'discarded';
      row.discardedAt = now;
      row.discardReason = reason;
      this.data.ledger.discarded++;
    });
  }

  async bury(
    operationId: number,
    handlers: readonly string[],
    error: string,
    range: BatchRange,
  ): Promise<ChangedBatch> {
    const targets = redriveTargets(subscribed(this.data));
    const gone = handlers.filter((handler) => !targets.has(handler));
    if (gone.length === 0) return { affected: 0, next: undefined };
    const found = this.data
      .deliveries()
      .filter(({ status, handler }) => status === 'queued' && gone.includes(handler))
      .map((row) => [row, toPlace(row, row.queuedAt)] as const);
    const batch = this.change(operationId, found, range, (row, now) => {
      row.status = 'dead';
      row.deadAt = now;
      row.lastError = error;
      row.rescueAt = null;
      row.retryAt = null;
    });
    // Nobody locks anything here.
    return batch.next === undefined ? { ...batch, passedOver: false } : batch;
  }

  private dead(criteria: DeadLetterCriteria): Placed[] {
    return this.data.deliveries().flatMap((row) => {
      const event = this.data.log.get(row.position);
      if (row.status !== 'dead' || row.deadAt === null) return [];
      if (!matches(criteria, row, row.deadAt, event)) return [];
      return [[row, toPlace(row, row.deadAt)]];
    });
  }

  /** Of before the operation: newer ones may be the same ones, dead again. */
  private deadBefore(operationId: number, criteria: DeadLetterCriteria): Placed[] {
    const startedAt = this.data.operations.get(operationId)?.startedAt;
    const started = startedAt === undefined ? -Infinity : Date.parse(startedAt);
    return this.dead(criteria).filter(([, { since }]) => since <= started);
  }

  /** Changes a batch, and counts it in the operation. */
  private change(
    operationId: number,
    found: readonly Placed[],
    range: BatchRange,
    apply: (row: DeliveryRow, now: number) => void,
  ): ChangedBatch {
    const cursor = parseBatchCursor(range);
    const end = cursor && toPlace(cursor, Date.parse(cursor.since));
    const batch = found
      .filter(([, place]) => end === undefined || comparePlaces(place, end) > 0)
      .toSorted(([, a], [, b]) => comparePlaces(a, b))
      .slice(0, range.limit);
    const now = this.data.now();
    for (const [row] of batch) apply(row, now);
    const operation = this.data.operations.get(operationId);
    if (operation !== undefined) {
      const affected = operation.affected + batch.length;
      this.data.operations.set(operationId, { ...operation, affected });
    }
    const last = batch.at(-1)?.[1];
    const { since = 0, position = 0, handler = '' } = last ?? {};
    const row = last && { since: iso(since), position: String(position), handler };
    return { affected: batch.length, next: nextBatch(row, batch.length, range) };
  }
}

/** Where a delivery stands in the order of pages and batches. */
interface Place {
  /** Waits, or is dead, since then. */
  readonly since: number;
  readonly position: number;
  readonly handler: string;
}

type Placed = readonly [row: DeliveryRow, place: Place];

function toPlace({ position, handler }: Omit<Place, 'since'>, since: number): Place {
  return { since, position, handler };
}

function comparePlaces(a: Place, b: Place): number {
  return a.since - b.since || compareKeys(a, b);
}

function matches(
  { position, eventId, event, handler, error, deadFrom, deadUntil }: DeadLetterCriteria,
  row: DeliveryRow,
  deadAt: number,
  of: LogRow | undefined,
): boolean {
  return (
    (position === undefined || row.position === position) &&
    (eventId === undefined || of?.eventId === eventId.toLowerCase()) &&
    (event === undefined || of?.name === event) &&
    (handler === undefined || row.handler === handler) &&
    (error === undefined || holds(row.lastError, error)) &&
    (deadFrom === undefined || deadAt >= Date.parse(deadFrom)) &&
    (deadUntil === undefined || deadAt < Date.parse(deadUntil))
  );
}

function holds(text: string | null, part: string): boolean {
  return text !== null && text.toLowerCase().includes(part.toLowerCase());
}

function toRecord(row: DeliveryRow, deadAt: number, event: LogRow | undefined): DeadLetterRecord {
  const { position, handler, epoch, attempts, maxAttempts, lastError } = row;
  return {
    position,
    handler,
    deadAt: iso(deadAt),
    event: event === undefined ? null : toDeadEvent(event),
    epoch,
    attempts,
    maxAttempts,
    lastError,
  };
}

function toDeadEvent({ eventId, name, version, occurredAt }: LogRow): DeadEvent {
  return { eventId, name, version, occurredAt };
}
