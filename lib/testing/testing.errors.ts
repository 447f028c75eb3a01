import type { DeliveryRun } from './record/delivery-run.js';

/** A drain has run as many attempts as it may, and more is due. */
export class DrainLimitError extends Error {
  constructor(
    limit: number,
    /** What it has run. */
    readonly runs: readonly DeliveryRun[],
  ) {
    super(
      `drain() stopped after ${limit} attempts, and more is due. Does a handler emit what it handles ` +
        `itself? Run most often: ${mostOften(runs)}. Where so many are right, pass { limit }.`,
    );
    this.name = 'DrainLimitError';
  }
}

/** A drain can't go on, because of the database or of another transaction. */
export class DrainBlockedError extends Error {
  constructor(problem: string, options?: ErrorOptions) {
    super(`drain() can't go on: ${problem}`, options);
    this.name = 'DrainBlockedError';
  }
}

function mostOften(runs: readonly DeliveryRun[]): string {
  const times = new Map<string, number>();
  for (const { handler, event } of runs) {
    const what = `${event.name} → ${handler}`;
    times.set(what, (times.get(what) ?? 0) + 1);
  }
  const sorted = [...times].toSorted(([, a], [, b]) => b - a).slice(0, 3);
  return sorted
    .map(([what, count]) => `${what} (${count === 1 ? 'once' : `${count} times`})`)
    .join(', ');
}
