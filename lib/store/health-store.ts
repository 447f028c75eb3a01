/** What the tables of a namespace hold, in one snapshot. Counts of what waits stop at a limit. */
export interface Figures {
  /** Deliveries that relayed events owe: of each as many as it had handlers. */
  readonly delivered: number;
  /** Relayed events that had no handler. */
  readonly unhandled: number;
  /** Deliveries ever completed, and discarded. */
  readonly completed: number;
  readonly discarded: number;
  /** Deliveries that are dead right now; at most the limit. */
  readonly dead: number;
  /** Deliveries that are queued right now; at most the limit. */
  readonly queued: number;
  /** Age of the oldest of all that are queued, in ms; a redriven one is as old as its redrive. */
  readonly oldestQueuedMs: number | null;
  /** Events that the relay may take; at most the limit. */
  readonly outboxDue: number;
  /** How long the oldest of those has been due, in ms. */
  readonly oldestDueMs: number | null;
  /** Events for later; at most the limit. */
  readonly outboxScheduled: number;
  readonly lastPosition: number;
  /** How often the queue was found wiped or swapped, and when last (ISO 8601). */
  readonly wipes: number;
  readonly wipedAt: string | null;
}

export interface HealthStore {
  figures(limit: number): Promise<Figures>;
}
