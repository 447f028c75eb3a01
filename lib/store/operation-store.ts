/** What an operator did, by a call. */
export type OperationKind = 'redrive' | 'discard' | 'retire';

export interface NewOperation {
  readonly kind: OperationKind;
  /** What it was asked to act on, as given: a filter, or a handler. */
  readonly target: Readonly<Record<string, unknown>>;
  readonly reason: string | null;
  /** Who asked for it. */
  readonly actor: string | null;
}

/** A row of the book of operations. Times are ISO 8601 in UTC. */
export interface OperationRecord extends NewOperation {
  readonly id: number;
  /** Deliveries changed so far. */
  readonly affected: number;
  readonly startedAt: string;
  /** null: under way, or its process ended before it did. */
  readonly endedAt: string | null;
}

/**
 * The book of operations. An operation is written down before it begins, and every batch of it adds
 * to its count in the batch's own transaction: what was done is known also where the process died.
 */
export interface OperationStore {
  /** Returns the operation's id. */
  start(operation: NewOperation): Promise<number>;
  end(id: number): Promise<OperationRecord>;
  /** The newest first. */
  latest(limit: number): Promise<OperationRecord[]>;
}
