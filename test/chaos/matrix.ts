import { FAILPOINTS, TIMES, type Failpoint, type FailpointAction } from './app/protocol.js';
import { checkAll, isFine, type Checked } from './checks/check-all.js';
import type { Exit } from './checks/invariant.js';
import { pause } from './pause.js';
import { waitForQuiet } from './quiet.js';
import { terminateAll } from './campaign.js';
import { System, type Member, type QueueKind } from './system.js';

/**
 * A worker stands still until its jobs' locks have expired and BullMQ has noticed, twice a lock
 * later at most: another worker takes them meanwhile.
 */
const WORKER_PAUSE_MS = TIMES.lockMs * 2.4;
const PAUSE_MS = 1_500;
const SETTLE_MS = 300;
const HIT_LIMIT_MS = 15_000;
const READY_LIMIT_MS = 30_000;
const EMIT_LIMIT_MS = 30_000;

export interface MatrixCase {
  readonly failpoint: Failpoint;
  readonly action: FailpointAction;
}

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
  const { seed, filter, quietMs } = settings;
  const cases = allCases().filter((each) => nameOf(queue, each).includes(filter));
  if (cases.length === 0) return true;
  const system = await System.start({ seed, queue, logs });
  hooks.track(system);
  const known = new Set<string>();
  let ok = true;
  const run = async (name: string, work: () => Promise<readonly Exit[]>) => {
    const result = await runCase(system, { name, known, quietMs }, work);
    hooks.told(result);
    ok &&= result.ok;
  };
  try {
    for (const each of cases) {
      await run(nameOf(queue, each), async () => {
        await stopThere(system, each, settings.events);
        return [];
      });
    }
    // How processes end tells something only where nothing else is wrong.
    if (ok) await run(`${queue}, exit`, () => terminateAll(system));
    return ok;
  } finally {
    await system.stop();
  }
}

function allCases(): MatrixCase[] {
  return (Object.keys(FAILPOINTS) as Failpoint[]).flatMap((failpoint) =>
    (['kill', 'pause'] as const).map((action) => ({ failpoint, action })),
  );
}

function nameOf(queue: QueueKind, { failpoint, action }: MatrixCase): string {
  return `${queue}, ${failpoint}, ${action}`;
}

async function runCase(
  system: System,
  { name, known, quietMs }: { name: string; known: Set<string>; quietMs: number },
  work: () => Promise<readonly Exit[]>,
): Promise<MatrixResult> {
  const started = Date.now();
  try {
    const exits = await work();
    const quiet = await waitForQuiet(system, quietMs);
    const checked = (await checkAll({ system, quiet, exits })).map((each) => ({
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

/** Whichever child of the role comes there first is stopped, while orders are placed. */
async function stopThere(
  system: System,
  { failpoint, action }: MatrixCase,
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
  if (action === 'pause') {
    await pause(child.role === 'worker' ? WORKER_PAUSE_MS : PAUSE_MS);
    child.resume();
  }
  await Promise.all(emitted);
  await Promise.all(system.members.map((member) => member.child.ready(READY_LIMIT_MS)));
}

function firstHit(system: System, candidates: readonly Member[]): Promise<Member> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`no child came to the failpoint within ${HIT_LIMIT_MS} ms`));
    }, HIT_LIMIT_MS);
    let first = true;
    system.onHit = ({ member, action }) => {
      if (!first) {
        // A second one came there before it heard that it should not. It tells so right before it
        // stops: a SIGCONT at once might come too early.
        if (action === 'pause') setTimeout(() => member.child.resume(), SETTLE_MS);
        return;
      }
      first = false;
      clearTimeout(timer);
      for (const { child } of candidates) child.send({ type: 'disarm' });
      resolve(member);
    };
  });
}
