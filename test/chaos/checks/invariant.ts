import type { Quiet } from '../quiet.js';
import type { System } from '../system.js';

export interface CheckInput {
  readonly system: System;
  readonly quiet: Quiet;
  /** How each process ended on SIGTERM; empty where that is not checked. */
  readonly exits: readonly Exit[];
}

export interface Exit {
  readonly name: string;
  readonly code: number | null;
  readonly signal: string | null;
  readonly ms: number;
}

/** One invariant of failure-modes.md. */
export interface Invariant {
  readonly id: number;
  readonly title: string;
  check(input: CheckInput): Promise<Findings>;
}

export interface Findings {
  /** What was counted, for the line that says it is fine. */
  readonly figures: string;
  /** What is wrong, with ids. */
  readonly violations: readonly string[];
}

/** A statement that finds rows of what is wrong: each has a column `what`. */
export async function find(system: System, sql: string, values: unknown[] = []): Promise<string[]> {
  const rows = await system.admin.query<{ what: string }>(sql, values);
  return rows.map(({ what }) => what);
}

export async function one<Row>(system: System, sql: string, values: unknown[] = []): Promise<Row> {
  const [row] = await system.admin.query<Row>(sql, values);
  return row!;
}
