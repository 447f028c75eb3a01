import type { Prng } from '../prng.js';
import type { QueueKind } from '../system.js';
import { failpoint, kill, stop, terminate } from './children.js';
import { idleTransaction, lockedRows, revokedGrant, terminateBackends } from './database.js';
import type { Fault, Names, Planned } from './fault.js';
import { blackHole, cutCommit, cutLink } from './links.js';
import { killPostgres, killRedis, restartPostgres, stopRedis, wipeQueue } from './servers.js';

const FAULTS: readonly Fault[] = [
  kill,
  stop,
  terminate,
  failpoint,
  cutLink,
  blackHole,
  cutCommit,
  killPostgres,
  restartPostgres,
  killRedis,
  stopRedis,
  wipeQueue,
  terminateBackends,
  idleTransaction,
  lockedRows,
  revokedGrant,
];

/** Between the starts of two faults. */
const GAP_MS = [250, 1_500] as const;

export interface ScheduledFault {
  readonly atMs: number;
  readonly name: string;
  readonly planned: Planned;
}

/** The same faults at the same times, for the same seed. */
export function makeSchedule(
  prng: Prng,
  settings: {
    durationMs: number;
    queue: QueueKind;
    names: Names;
    wanted: (name: string) => boolean;
  },
): ScheduledFault[] {
  const { durationMs, queue, names, wanted } = settings;
  const able = FAULTS.filter(
    ({ name, only }) => (only === undefined || only === queue) && wanted(name),
  );
  const weights = Object.fromEntries(able.map(({ name, weight }) => [name, weight]));
  const schedule: ScheduledFault[] = [];
  if (able.length === 0) return schedule;
  for (let atMs = prng.int(...GAP_MS); atMs < durationMs; atMs += prng.int(...GAP_MS)) {
    const name = prng.weighted(weights);
    const fault = able.find((each) => each.name === name)!;
    schedule.push({ atMs, name, planned: fault.plan(prng, names) });
  }
  return schedule;
}
