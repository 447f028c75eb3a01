import type { Quiet } from '../quiet.js';
import type { System } from '../system.js';
import type { Snapshot } from './snapshot.js';

export interface CheckInput {
  readonly system: System;
  readonly quiet: Quiet;
  readonly snapshot: Snapshot;
}

/** One invariant of failure-modes.md. */
export interface Invariant {
  readonly id: number;
  readonly title: string;
  check(input: CheckInput): Findings | Promise<Findings>;
}

export interface Findings {
  /** What was counted, for the line that says it is fine. */
  readonly figures: string;
  /** What is wrong, with ids. */
  readonly violations: readonly string[];
}
