import type { BatchRange, ChangedBatch } from './dead-letter-store.js';

/** The last delivery of a batch, in the order of an operation: by the time it waits or is dead since. */
export interface BatchCursor {
  /** As the database has it, to the microsecond. */
  readonly since: string;
  readonly position: number;
  readonly handler: string;
}

/** The same as the dialects' queries return it. */
export interface BatchCursorRow {
  readonly since: string;
  readonly position: string;
  readonly handler: string;
}

export function parseBatchCursor({ from }: BatchRange): BatchCursor | undefined {
  return from === undefined ? undefined : (JSON.parse(from) as BatchCursor);
}

/** Where the next batch begins; a batch that is not full is the last one. */
export function nextBatch(
  last: BatchCursorRow | undefined,
  found: number,
  { limit }: BatchRange,
): ChangedBatch['next'] {
  if (last === undefined || found < limit) return undefined;
  const { since, position, handler } = last;
  const cursor: BatchCursor = { since, position: Number(position), handler };
  return JSON.stringify(cursor);
}
