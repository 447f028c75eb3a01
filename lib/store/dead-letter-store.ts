/** Which dead letters; what is undefined does not matter. Times are ISO 8601. */
export interface DeadLetterCriteria {
  readonly position?: number;
  /** This and `event` match no delivery whose event the log has lost. */
  readonly eventId?: string;
  /** Name of the event. */
  readonly event?: string;
  readonly handler?: string;
  /** A part of the last error, in upper or lower case. */
  readonly error?: string;
  /** Died at this time or later. */
  readonly deadFrom?: string;
  /** Died before this time. */
  readonly deadUntil?: string;
}

/** Where a page ends: the delivery's time of death and key. */
export interface DeadLetterKey {
  /** With the precision of the database. */
  readonly deadAt: string;
  readonly position: number;
  readonly handler: string;
}

export interface DeadLetterRecord extends DeadLetterKey {
  /** null: the log has no such event any more. */
  readonly event: DeadEvent | null;
  readonly epoch: number;
  readonly attempts: number;
  readonly maxAttempts: number;
  readonly lastError: string | null;
}

/** The event of a dead letter. */
export interface DeadEvent {
  readonly eventId: string;
  readonly name: string;
  readonly version: number;
  readonly occurredAt: string;
}

export interface AttemptRecord {
  /** Its number, from 1; goes on over redrives. */
  readonly attempt: number;
  readonly epoch: number;
  readonly error: string;
  readonly failedAt: string;
}

/** The part of an operation's work that one transaction takes. */
export interface BatchRange {
  /** Deliveries at most. */
  readonly limit: number;
  /** The `next` of the batch before; undefined for the first one. */
  readonly from?: string | undefined;
}

/** What one transaction of an operation did. */
export interface ChangedBatch {
  readonly affected: number;
  /**
   * Where the next batch begins, undefined after the last one. Without it each batch would pass over
   * what all the others have changed, for as long as any snapshot still sees it.
   */
  readonly next: string | undefined;
  /** This is the last batch, and some were left out that others had locked. */
  readonly passedOver?: boolean;
}

/**
 * Dead letters in the database. Changes come in batches, each a transaction that also counts itself
 * in the operation. Handlers can't be retired or come back while a batch looks at who has which.
 */
export interface DeadLetterStore {
  /** The last died first. */
  list(
    criteria: DeadLetterCriteria,
    limit: number,
    after?: DeadLetterKey,
  ): Promise<DeadLetterRecord[]>;
  /** Failed attempts of a delivery, in order. */
  attempts(position: number, handler: string): Promise<AttemptRecord[]>;
  /**
   * Queues a batch anew, in the next epoch, with as many attempts again as the handler has; only what
   * was dead when the operation began, nothing that no handler takes now, and nothing whose event
   * the log has lost.
   */
  redrive(
    operationId: number,
    criteria: DeadLetterCriteria,
    range: BatchRange,
  ): Promise<ChangedBatch>;
  /** How many match whose event the log has lost. */
  countLost(criteria: DeadLetterCriteria): Promise<number>;
  /** Gives a batch up for good; only what was dead when the operation began. */
  discard(
    operationId: number,
    criteria: DeadLetterCriteria,
    reason: string,
    range: BatchRange,
  ): Promise<ChangedBatch>;
  /**
   * Makes a batch of what waits for these handlers dead, as far as no handler takes it now. What
   * somebody has locked (a handler that runs in a transaction) is passed over: see `passedOver`.
   */
  bury(
    operationId: number,
    handlers: readonly string[],
    error: string,
    range: BatchRange,
  ): Promise<ChangedBatch>;
}
