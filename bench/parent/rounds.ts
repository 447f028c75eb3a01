import type { GroupName } from '../settings.js';
import { progress } from './bench.js';
import type { Results } from './results.js';

/** Something that a group measures once in each round. */
export interface Entry {
  readonly contender: string;
  /** Another library's trouble is told and left out; our own fails the run. */
  readonly foreign: boolean;
  measure(): Promise<void>;
}

/**
 * Measures all entries in turn, round by round, each round from another start: whatever changes on
 * the machine meanwhile hits all of them alike. What fails is not tried again.
 */
export async function inRounds(
  group: GroupName,
  entries: readonly Entry[],
  rounds: number,
  results: Results,
): Promise<void> {
  const failed = new Set<Entry>();
  for (let round = 0; round < rounds; round++) {
    progress(`${group}, round ${round + 1} of ${rounds}`);
    const shift = round % entries.length;
    for (const entry of [...entries.slice(shift), ...entries.slice(0, shift)]) {
      if (failed.has(entry)) continue;
      try {
        await entry.measure();
      } catch (error) {
        failed.add(entry);
        const text = error instanceof Error ? error.message : String(error);
        if (entry.foreign) {
          const [reason = ''] = text.split('\n');
          results.leftOut.push({ group, contender: entry.contender, reason });
        } else results.failures.push(`${group}, ${entry.contender}: ${text}`);
      }
    }
  }
}
