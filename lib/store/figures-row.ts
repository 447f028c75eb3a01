import type { Figures } from './health-store.js';

/** The figures as the dialects' queries return them. */
export interface FiguresRow {
  readonly last_position: string;
  readonly wipes: string;
  readonly wiped_at: string | null;
  readonly delivered: string;
  readonly unhandled: string;
  readonly completed: string;
  readonly discarded: string;
  readonly dead: string;
  readonly queued: string;
  readonly oldest_queued: string | null;
  readonly due: string;
  readonly oldest_due: string | null;
  readonly scheduled: string;
}

export function toFigures(row: FiguresRow): Figures {
  const ms = (text: string | null) => (text === null ? null : Math.max(0, Number(text)));
  return {
    delivered: Number(row.delivered),
    unhandled: Number(row.unhandled),
    completed: Number(row.completed),
    discarded: Number(row.discarded),
    dead: Number(row.dead),
    queued: Number(row.queued),
    oldestQueuedMs: ms(row.oldest_queued),
    outboxDue: Number(row.due),
    oldestDueMs: ms(row.oldest_due),
    outboxScheduled: Number(row.scheduled),
    lastPosition: Number(row.last_position),
    wipes: Number(row.wipes),
    wipedAt: row.wiped_at,
  };
}
