import type { AttemptRecord, DeadLetterRecord } from './dead-letter-store.js';

/** A dead letter as the dialects' queries return it. */
export interface DeadLetterRow {
  readonly position: string;
  readonly handler: string;
  readonly dead_at: string;
  readonly epoch: string;
  readonly attempts: string;
  readonly max_attempts: string;
  readonly last_error: string | null;
  readonly event_id: string | null;
  readonly name: string;
  readonly version: string;
  readonly occurred_at: string;
}

export function toDeadLetterRecord(row: DeadLetterRow): DeadLetterRecord {
  return {
    position: Number(row.position),
    handler: row.handler,
    deadAt: row.dead_at,
    event:
      row.event_id === null
        ? null
        : {
            eventId: row.event_id,
            name: row.name,
            version: Number(row.version),
            occurredAt: row.occurred_at,
          },
    epoch: Number(row.epoch),
    attempts: Number(row.attempts),
    maxAttempts: Number(row.max_attempts),
    lastError: row.last_error,
  };
}

/** A failed attempt as the dialects' queries return it. */
export interface AttemptRow {
  readonly attempt: string;
  readonly epoch: string;
  readonly error: string;
  readonly failed_at: string;
}

export function toAttemptRecord(row: AttemptRow): AttemptRecord {
  return {
    attempt: Number(row.attempt),
    epoch: Number(row.epoch),
    error: row.error,
    failedAt: row.failed_at,
  };
}
