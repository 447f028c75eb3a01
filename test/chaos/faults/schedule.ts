import type { Prng } from '../prng.js';
import type { QueueKind } from '../chaos-queue.js';
import { failpoint, kill, stop, terminate } from './children.js';
import { idleTransaction, lockedRows, revokedGrant, terminateBackends } from './database.js';
import type { Fault, Names, Planned } from './fault.js';
import { blackHole, cutCommit, cutLink } from './links.js';
import { operate } from './operator.js';
import { killDatabase, killQueue, restartDatabase, stopRedis, wipeQueue } from './servers.js';

const FAULTS: readonly Fault[] = [
  kill,
  stop,
  terminate,
  failpoint,
  cutLink,
  blackHole,
  cutCommit,
  killDatabase,
  restartDatabase,
  killQueue,
  stopRedis,
  wipeQueue,
  operate,
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

/** What there is to break. */
interface Able {
  readonly queue: QueueKind;
  readonly ownQueueServer: boolean;
}

/** The same faults at the same times, for the same seed. */
export function makeSchedule(
  prng: Prng,
  settings: {
    durationMs: number;
    able: Able;
    names: Names;
    wanted: (name: string) => boolean;
  },
): ScheduledFault[] {
  const { durationMs, names, wanted } = settings;
  const able = FAULTS.filter(({ name, only }) => isAble(only, settings.able) && wanted(name));
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

function isAble(only: Fault['only'], { queue, ownQueueServer }: Able): boolean {
  if (only === undefined) return true;
  return only === 'redis' ? queue === 'redis' : ownQueueServer;
}
