import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkAll, isFine, type Checked } from './checks/check-all.js';
import type { Exit } from './checks/invariant.js';
import { makeSchedule, type ScheduledFault } from './faults/schedule.js';
import { pause } from './pause.js';
import { Prng } from './prng.js';
import { waitForQuiet } from './quiet.js';
import { figuresOf, type Figures } from './report.js';
import type { ChaosSettings } from './settings.js';
import { System, type Member, type QueueKind } from './system.js';

/** A lost delivery is rescued after as long as it has waited, so a longer run may drain longer. */
const DRAIN_LIMIT_MS = 45_000;
const READY_LIMIT_MS = 45_000;
const FAULT_LIMIT_MS = 45_000;

export interface CampaignResult {
  readonly ok: boolean;
  readonly checked: readonly Checked[];
  readonly figures: Figures;
  readonly faults: ReadonlyMap<string, number>;
}

/** Load and faults for a while, then healing, quiet, and the checks. */
export async function runCampaign(
  settings: ChaosSettings,
  queue: QueueKind,
  logs: string,
  track: (system: System) => void,
): Promise<CampaignResult> {
  const { seed, durationMs, rate } = settings;
  const started = Date.now();
  const system = await System.start({ seed, queue, logs });
  track(system);
  try {
    const schedule = makeSchedule(new Prng(`faults/${seed}`), {
      durationMs,
      queue,
      names: namesOf(system),
      wanted: (name) =>
        !settings.without.includes(name) &&
        (settings.faults.length === 0 || settings.faults.includes(name)),
    });
    writeFileSync(join(logs, 'schedule.txt'), schedule.map(describe).join(''));
    const emitting = keepEmitting(system, rate);
    const faults = await inject(system, schedule, durationMs, join(logs, 'faults.log'));
    clearInterval(emitting);
    await heal(system);
    const quiet = await waitForQuiet(system, DRAIN_LIMIT_MS + durationMs / 2);
    const exits = await terminateAll(system);
    const checked = await checkAll({ system, quiet, exits });
    const figures = await figuresOf(system, Date.now() - started);
    return { ok: isFine(checked), checked, figures, faults };
  } finally {
    await system.stop();
  }
}

/** An emitter that was started again emits again. */
function keepEmitting(system: System, perSecond: number): NodeJS.Timeout {
  const tell = () => {
    for (const { child } of system.of('emitter')) child.send({ type: 'emit', perSecond });
  };
  tell();
  return setInterval(tell, 500);
}

async function inject(
  system: System,
  schedule: readonly ScheduledFault[],
  durationMs: number,
  log: string,
): Promise<Map<string, number>> {
  const over = new AbortController();
  const started = Date.now();
  const counts = new Map<string, number>();
  const running = new Set<Promise<void>>();
  const note = (text: string) =>
    appendFileSync(log, `${new Date().toISOString()} +${Date.now() - started} ${text}\n`);
  system.onHit = ({ member, failpoint, action }) =>
    note(`hit: ${member.child.name} ${failpoint} ${action}`);
  for (const { atMs, name, planned } of schedule) {
    await pause(atMs - (Date.now() - started));
    counts.set(name, (counts.get(name) ?? 0) + 1);
    note(`${name}: ${planned.what}`);
    const run = planned
      .run(system, over.signal)
      .catch((error: unknown) => note(`${name} failed: ${String(error)}`))
      .finally(() => {
        note(`over: ${name}: ${planned.what}`);
        running.delete(run);
      });
    running.add(run);
  }
  await pause(durationMs - (Date.now() - started));
  over.abort();
  const enough = new AbortController();
  await Promise.race([Promise.all(running), pause(FAULT_LIMIT_MS, enough.signal)]);
  enough.abort();
  return counts;
}

/** Everything works again, and every process has been started anew. */
async function heal(system: System): Promise<void> {
  for (const { child, database, queue, commits } of system.members) {
    database.heal();
    queue.heal();
    commits.disarm();
    child.resume();
  }
  await system.postgres.restart();
  for (const { child } of system.of('emitter')) {
    await child.ask({ type: 'stop-emitting' }, READY_LIMIT_MS).catch(() => undefined);
  }
  for (const { child } of system.members) child.kill();
  await pause(100);
  await Promise.all(system.members.map(({ child }) => child.ready(READY_LIMIT_MS)));
}

export async function terminateAll(system: System): Promise<Exit[]> {
  return Promise.all(
    system.members.map(async ({ child }) => {
      child.letGo();
      return { name: child.name, ...(await child.terminate()) };
    }),
  );
}

function namesOf(system: System) {
  const names = (members: readonly Member[]) => members.map(({ child }) => child.name);
  return {
    all: names(system.members),
    emitters: names(system.of('emitter')),
    relays: names(system.of('relay')),
    workers: names(system.of('worker')),
  };
}

function describe({ atMs, name, planned }: ScheduledFault): string {
  return `+${atMs} ${name}: ${planned.what}\n`;
}
