/**
 * How long a delivery waits that this process has no handler for: shortly at first, because during a
 * deployment another process has it, then twice as long each time up to the maximum.
 */
const PARKED_MS = 250;
const MAX_PARKED_MS = 15_000;
/**
 * How long a delivery waits whose run costs no attempt: twice as long each time up to the maximum,
 * because what lasts is nothing that a quick repeat would mend.
 */
const POSTPONED_MS = 2_000;
const MAX_POSTPONED_MS = 60_000;
/** How long at most a delivery waits whose outcome can't be marked: its effects come with every run. */
const MAX_UNMARKED_MS = 3_600_000;

/**
 * Half of it is chance: workers look for jobs in a rhythm, and the same one could take it each time.
 *
 * @param earlierRuns how often its job was to be run again already
 */
export function parkedMs(earlierRuns: number): number {
  return halfByChance(doubled(PARKED_MS, earlierRuns, MAX_PARKED_MS));
}

/** Half of it is chance: what failed together must not come back together. */
export function postponedMs(earlierRuns: number): number {
  return halfByChance(doubled(POSTPONED_MS, earlierRuns, MAX_POSTPONED_MS));
}

/** Likewise, but growing for longer. */
export function unmarkedMs(earlierRuns: number): number {
  return halfByChance(doubled(POSTPONED_MS, earlierRuns, MAX_UNMARKED_MS));
}

function halfByChance(ms: number): number {
  return Math.round(ms * (0.5 + Math.random() / 2));
}

function doubled(first: number, times: number, max: number): number {
  return Math.min(first * 2 ** Math.min(times, 30), max);
}
