import type { BullQueue } from './bull-backend.js';

/**
 * What a queue has for a worker: nothing, only jobs that are held back (paused by an operator,
 * limited, not due), or jobs that a worker with free capacity takes at once.
 */
export type Backlog = 'empty' | 'held' | 'runnable';

/** A delayed job is overdue after this long, in ms: clocks differ, and workers need a moment. */
const OVERDUE_MS = 5_000;

/**
 * Asks the queue, with one query where it is empty.
 *
 * @param limiterMax the worker's own limit
 */
export async function backlogOf(
  queue: BullQueue,
  limiterMax: number | undefined,
): Promise<Backlog> {
  const backend = queue.getBackend();
  const [waiting = 0, prioritized = 0, delayed = 0] = await backend.getCounts([
    'waiting',
    'prioritized',
    'delayed',
  ]);
  const ready = waiting + prioritized;
  if (ready + delayed === 0) return 'empty';
  // Nobody but a worker makes delayed jobs ready.
  if (ready === 0 && !(await hasOverdue(queue))) return 'held';
  if (await queue.isPaused()) return 'held';
  if (await queue.isMaxed()) return 'held';
  return (await isLimited(queue, limiterMax)) ? 'held' : 'runnable';
}

async function hasOverdue(queue: BullQueue): Promise<boolean> {
  const [overdue = 0] = await queue.getBackend().getCounts(['delayed'], Date.now() - OVERDUE_MS);
  return overdue > 0;
}

/** An operator's limit for the whole queue goes before the worker's own. */
async function isLimited(queue: BullQueue, limiterMax: number | undefined): Promise<boolean> {
  const global = await queue.getBackend().getQueueMetaField('max');
  const max = global === null ? limiterMax : Number(global);
  return max !== undefined && (await queue.getRateLimitTtl(max)) > 0;
}
