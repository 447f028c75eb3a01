import { deadForAReason } from './attempts.js';
import { booksAgree } from './books.js';
import { forbiddenTransitions, oneDeliveryEach } from './deliveries.js';
import { effectsMatch } from './effects.js';
import { businessRowIffEvent, gapFreePositions, idempotencyKeys, sameData } from './events.js';
import type { CheckInput, Findings, Invariant } from './invariant.js';
import {
  boundedConnections,
  boundedTransactions,
  drained,
  exitsInOrder,
  noJobsLeft,
} from './process.js';
import { readSnapshot } from './snapshot.js';

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
  boundedConnections,
  booksAgree,
];

export interface Checked extends Findings {
  readonly invariant: Invariant;
}

/** Asks the database, never what a call returned. */
export async function checkAll(given: Omit<CheckInput, 'snapshot'>): Promise<Checked[]> {
  const input = { ...given, snapshot: await readSnapshot(given.system.database) };
  const results: Checked[] = [];
  for (const invariant of INVARIANTS) {
    results.push({ invariant, ...(await invariant.check(input)) });
  }
  return results;
}

export function isFine(checked: readonly Checked[]): boolean {
  return checked.every(({ violations }) => violations.length === 0);
}
