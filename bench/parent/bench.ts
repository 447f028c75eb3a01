import type { Settings } from '../settings.js';
import type { Place } from './child-process.js';
import type { Results } from './results.js';
import type { Servers } from './servers.js';

/** What a group of measurements needs. */
export interface Bench {
  readonly settings: Settings;
  readonly servers: Servers;
  readonly results: Results;
  /** Where the project's own contenders run. */
  readonly own: Place;
  /** Where the peers run, or why they can't. */
  readonly peers: PeersPlace;
}

export interface PeersPlace {
  /** Undefined where they are not installed. */
  readonly build: string | undefined;
  /** What they run on if it is new enough for them; undefined: only those without demands run. */
  readonly node: string | undefined;
  /** Why something above is undefined. */
  readonly reason: string;
}

/** Tells how far a long run is; not a part of the report. */
export function progress(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}
