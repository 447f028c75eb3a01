import {
  FAILPOINTS,
  LATE_POINTS,
  TIMES,
  type FailpointAction,
  type LatePoint,
} from './app/protocol.js';
import { terminateAll } from './campaign.js';
import type { QueueKind } from './chaos-queue.js';
import { checkAll, isFine, type Checked } from './checks/check-all.js';
import { jobsWithoutDelivery } from './checks/events.js';
import { readSnapshot } from './checks/snapshot.js';
import type { DatabaseKind } from './databases/dialect.js';
import { firstHit } from './first-hit.js';
import { runLate } from './late-run.js';
import { pause } from './pause.js';
import { waitForQuiet } from './quiet.js';
import { System } from './system.js';

/**
 * A worker stands still until its jobs' locks have expired and BullMQ has noticed, twice a lock
 * later at most: another worker takes them meanwhile.
 */
const WORKER_PAUSE_MS = TIMES.lockMs * 2.4;
const PAUSE_MS = 1_500;
const READY_LIMIT_MS = 30_000;
const EMIT_LIMIT_MS = 30_000;

type MatrixCase =
  | { readonly failpoint: keyof typeof FAILPOINTS; readonly action: FailpointAction }
  | { readonly failpoint: LatePoint; readonly action: 'redrive' };

export interface MatrixResult {
  readonly name: string;
  readonly ok: boolean;
  /** Empty where the case itself failed, see `problem`. */
  readonly checked: readonly Checked[];
  readonly problem: string | undefined;
  readonly ms: number;
}

export interface MatrixSettings {
  readonly seed: string;
  readonly database: DatabaseKind;
  readonly events: number;
  /** Part of the names of the cases that are wanted. */
  readonly filter: string;
  readonly quietMs: number;
}

/**
 * Every failpoint, killed and paused there, one after the other on one system. The checks of each
 * case look at everything since the start; what an earlier case has reported is left out.
 */
export async function runMatrix(
  queue: QueueKind,
  settings: MatrixSettings,
  logs: string,
  hooks: { track(system: System): void; told(result: MatrixResult): void },
): Promise<boolean> {
  const { seed, database, filter, quietMs } = settings;
  const services = database === 'postgres' ? queue : `${database} and ${queue}`;
  const cases = allCases().filter((each) => nameOf(services, each).includes(filter));
  if (cases.length === 0) return true;
  const system = await System.start({ seed, database, queue, logs });
  hooks.track(system);
  const known = new Set<string>();
  let ok = true;
  const run = async (name: string, work: () => Promise<void>) => {
    const result = await runCase(system, { name, known, quietMs }, work);
    hooks.told(result);
    ok &&= result.ok;
  };
  try {
    for (const each of cases) {
      await run(nameOf(services, each), () =>
        each.action === 'redrive'
          ? runLate(system, each.failpoint)
          : stopThere(system, each, settings.events),
      );
    }
    // How processes end tells something only where nothing else is wrong.
    if (ok) await run(`${services}, exit`, () => terminateAll(system));
    return ok;
  } finally {
    await system.stop();
  }
}

function allCases(): MatrixCase[] {
  const stops = (Object.keys(FAILPOINTS) as (keyof typeof FAILPOINTS)[]).flatMap((failpoint) =>
    (['kill', 'pause'] as const).map((action) => ({ failpoint, action })),
  );
  const late = LATE_POINTS.map((failpoint) => ({ failpoint, action: 'redrive' as const }));
  return [...stops, ...late];
}

function nameOf(services: string, { failpoint, action }: MatrixCase): string {
  return `${services}, ${failpoint}, ${action}`;
}

async function runCase(
  system: System,
  { name, known, quietMs }: { name: string; known: Set<string>; quietMs: number },
  work: () => Promise<void>,
): Promise<MatrixResult> {
  const started = Date.now();
  try {
    await work();
    const quiet = await waitForQuiet(system, quietMs);
    const checked = (await checkAll({ system, quiet })).map((each) => ({
      ...each,
      violations: each.violations.filter((what) => !known.has(what)),
    }));
    for (const what of checked.flatMap(({ violations }) => violations)) known.add(what);
    const ms = Date.now() - started;
    return { name, ok: isFine(checked), checked, problem: undefined, ms };
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    return { name, ok: false, checked: [], problem, ms: Date.now() - started };
  }
}

/**
 * What the queue holds when a child stops. Read before the deliveries are: a job that is seen must
 * have had its delivery already.
 */
async function findEarlyJobs(system: System): Promise<void> {
  const jobs = await system.queue.jobs();
  const { deliveries } = await readSnapshot(system.database);
  const early = jobsWithoutDelivery(jobs, deliveries);
  system.earlyJobs.push(...early.map((id) => `job ${id} was in the queue before its delivery`));
}

/** Whichever child of the role comes there first is stopped, while orders are placed. */
async function stopThere(
  system: System,
  { failpoint, action }: MatrixCase & { action: FailpointAction },
  events: number,
): Promise<void> {
  const candidates = system.of(FAILPOINTS[failpoint]);
  const hit = firstHit(system, candidates);
  for (const { child } of candidates) child.send({ type: 'arm', failpoint, action });
  const emitted = system
    .of('emitter')
    .map(({ child }) =>
      child.ask({ type: 'emit-batch', count: Math.ceil(events / 2) }, EMIT_LIMIT_MS),
    );
  const { child } = await hit;
  await findEarlyJobs(system);
  if (action === 'pause') {
    await pause(child.role === 'worker' ? WORKER_PAUSE_MS : PAUSE_MS);
    child.resume();
  }
  await Promise.all(emitted);
  await Promise.all(system.members.map((member) => member.child.ready(READY_LIMIT_MS)));
}
