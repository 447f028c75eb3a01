import {
  deadForAReason,
  effectsMatch,
  forbiddenTransitions,
  oneDeliveryEach,
} from './deliveries.js';
import { businessRowIffEvent, gapFreePositions, idempotencyKeys, sameData } from './events.js';
import type { CheckInput, Findings, Invariant } from './invariant.js';
import { boundedTransactions, drained, exitsInOrder, noJobsLeft } from './process.js';

const INVARIANTS: readonly Invariant[] = [
  businessRowIffEvent,
  oneDeliveryEach,
  effectsMatch,
  forbiddenTransitions,
  deadForAReason,
  sameData,
  noJobsLeft,
  gapFreePositions,
  drained,
  exitsInOrder,
  idempotencyKeys,
  boundedTransactions,
];

export interface Checked extends Findings {
  readonly invariant: Invariant;
}

/** Asks the database, never what a call returned. */
export async function checkAll(input: CheckInput): Promise<Checked[]> {
  const results: Checked[] = [];
  for (const invariant of INVARIANTS) {
    results.push({ invariant, ...(await invariant.check(input)) });
  }
  return results;
}

export function isFine(checked: readonly Checked[]): boolean {
  return checked.every(({ violations }) => violations.length === 0);
}
