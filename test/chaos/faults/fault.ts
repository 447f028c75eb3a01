import type { Prng } from '../prng.js';
import type { System } from '../system.js';

/** A kind of fault. Everything left to chance is drawn when the schedule is made. */
export interface Fault {
  readonly name: string;
  /** How often it is drawn, compared with others. */
  readonly weight: number;
  /** Not every queue can suffer it. */
  readonly only?: 'redis' | 'own server';
  plan(prng: Prng, names: Names): Planned;
}

/** Names of the children, and of those of each role. */
export interface Names {
  readonly all: readonly string[];
  readonly emitters: readonly string[];
  readonly relays: readonly string[];
  readonly workers: readonly string[];
}

export interface Planned {
  /** For people and for the log: what, whom, how long. */
  readonly what: string;
  /** Children whose services do not work meanwhile; default: nobody's. */
  readonly breaks?: readonly string[];
  /** Resolves when the fault is over. */
  run(system: System, over: AbortSignal): Promise<void>;
}

export function member(system: System, name: string) {
  const found = system.members.find(({ child }) => child.name === name);
  if (found === undefined) throw new Error(`no child is named ${name}`);
  return found;
}
