import { toLoggedEvent, type EventRow } from './event-row.js';
import type { ChunkedRef, QueuedPage, RescuedDelivery } from './event-store.js';

/** A delivery as queries name it. */
export interface DeliveryKeyRow {
  readonly position: string;
  readonly handler: string;
  readonly epoch: string;
  readonly chunk: string | null;
}

/** A delivery with its event, as the dialects' queries return it; null where the log has no such event. */
export type RescuedRow = DeliveryKeyRow & (EventRow | { readonly event_id: null });

export type QueuedRow = RescuedRow & {
  readonly due_in: string;
  readonly rescue_at: string;
  readonly as_of: string;
};

/** Where a page begins. Times are as the dialect writes them, in UTC to the microsecond. */
export interface QueuedCursor {
  /** When the first page was read. */
  readonly asOf: string;
  /**
   * The second pass: attempts that ended meanwhile may have moved their deliveries to before what
   * was read already.
   */
  readonly moved: boolean;
  /** The last row of the page before; undefined at the beginning of a pass. */
  readonly after?: {
    readonly rescueAt: string;
    readonly position: number;
    readonly handler: string;
  };
}

/**
 * How long before the first page an attempt may have been marked failed, in a transaction that page
 * did not see yet.
 */
export const MOVED_BEFORE_SECONDS = 60;

/** None or one: what the log has lost can't be pushed. */
function toRescued(row: RescuedRow): RescuedDelivery[] {
  if (row.event_id === null) return [];
  return [{ ...toChunkedRef(row), event: toLoggedEvent(row) }];
}

export function toChunkedRef({ position, handler, epoch, chunk }: DeliveryKeyRow): ChunkedRef {
  return { position: Number(position), handler, epoch: Number(epoch), chunk: toChunk(chunk) };
}

export function toChunk(chunk: string | number | null): number | null {
  return chunk === null ? null : Number(chunk);
}

export function parseCursor(from: string | undefined): QueuedCursor | undefined {
  return from === undefined ? undefined : (JSON.parse(from) as QueuedCursor);
}

/** @param from what the page was read with */
export function toQueuedPage(
  rows: readonly QueuedRow[],
  limit: number,
  from: QueuedCursor | undefined,
): QueuedPage {
  const last = rows.at(-1);
  return {
    deliveries: rows.flatMap((row) =>
      toRescued(row).map((delivery) => ({ ...delivery, dueInMs: Number(row.due_in) })),
    ),
    again: from?.moved ?? false,
    next: nextQueuedPage(
      last && {
        rescueAt: last.rescue_at,
        position: Number(last.position),
        handler: last.handler,
      },
      rows.length >= limit,
      from ?? (last && { asOf: last.as_of, moved: false }),
    ),
  };
}

/**
 * Where the next page begins, by the rows of this one, whether or not the log has their events.
 *
 * @param last the page's last row
 * @param pass the one that the page belongs to; undefined: nothing was queued when it began
 */
export function nextQueuedPage(
  last: QueuedCursor['after'],
  full: boolean,
  pass: Pick<QueuedCursor, 'asOf' | 'moved'> | undefined,
): string | undefined {
  if (pass === undefined) return undefined;
  const { asOf, moved } = pass;
  let next: QueuedCursor;
  if (last !== undefined && full) {
    const { rescueAt, position, handler } = last;
    next = { asOf, moved, after: { rescueAt, position, handler } };
  } else {
    // The end of this pass; after the second one, of all.
    if (moved) return undefined;
    next = { asOf, moved: true };
  }
  return JSON.stringify(next);
}
