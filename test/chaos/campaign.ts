import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { QueueKind } from './chaos-queue.js';
import { checkAll, isFine, type Checked } from './checks/check-all.js';
import { makeSchedule, type ScheduledFault } from './faults/schedule.js';
import { heal } from './heal.js';
import { pause } from './pause.js';
import { Prng } from './prng.js';
import { waitForQuiet } from './quiet.js';
import { figuresOf, type Figures } from './report.js';
import type { ChaosSettings } from './settings.js';
import { System, type Member } from './system.js';

/** A lost delivery is rescued after as long as it has waited, so a longer run may drain longer. */
const DRAIN_LIMIT_MS = 45_000;
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
  const { seed, durationMs, rate, database } = settings;
  const started = Date.now();
  const system = await System.start({ seed, database, queue, logs });
  track(system);
  try {
    const schedule = makeSchedule(new Prng(`faults/${seed}`), {
      durationMs,
      able: { queue, ownQueueServer: system.queue.server !== undefined },
      names: namesOf(system),
      wanted: (name) =>
        !settings.without.includes(name) &&
        (settings.faults.length === 0 || settings.faults.includes(name)),
    });
    writeFileSync(join(logs, 'schedule.txt'), schedule.map(describe).join(''));
    const emitting = keepEmitting(system, rate);
    const faults = await inject(system, schedule, durationMs, join(logs, 'faults.log'));
    clearInterval(emitting);
    const killed = await heal(system, seed);
    const quiet = await waitForQuiet(system, DRAIN_LIMIT_MS + durationMs / 2);
    // No pause between two tries is left over then.
    for (const { child } of system.members) child.disturbances.forget();
    await terminateAll(system);
    const checked = await checkAll({ system, quiet });
    const figures = await figuresOf(system, { ms: Date.now() - started, killed });
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
  const mistakes: string[] = [];
  const note = (text: string) =>
    appendFileSync(log, `${new Date().toISOString()} +${Date.now() - started} ${text}\n`);
  system.onHit = ({ member, failpoint, action }) =>
    note(`hit: ${member.child.name} ${failpoint} ${action}`);
  for (const { atMs, name, planned } of schedule) {
    await pause(atMs - (Date.now() - started));
    counts.set(name, (counts.get(name) ?? 0) + 1);
    note(`${name}: ${planned.what}`);
    const mended = system.members
      .filter(({ child }) => planned.breaks?.includes(child.name))
      .map(({ child }) => child.disturbances.begin(name));
    const run = planned
      .run(system, over.signal)
      .catch((error: unknown) => {
        note(`${name} failed: ${String(error)}`);
        if (!isOutage(system, error)) mistakes.push(`${name}: ${String(error)}`);
      })
      .finally(() => {
        for (const mend of mended) mend();
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
  if (mistakes.length > 0) throw new Error(`faults that are wrong: ${mistakes.join('; ')}`);
  return counts;
}

/** A fault may find its server down for another one; what else it fails for, is wrong with it. */
function isOutage({ database }: System, error: unknown): boolean {
  return database.admin.isOutage(error) || /ECONN|closed|no reply/i.test(String(error));
}

/** For good. How each of them ends is kept with it. */
export async function terminateAll(system: System): Promise<void> {
  await Promise.all(
    system.members.map(({ child }) => {
      child.letGo();
      return child.terminate();
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
