import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCampaign } from './campaign.js';
import { runMatrix, type MatrixResult } from './matrix.js';
import { reportChecks, reportFigures } from './report.js';
import { parseSettings, USAGE, type ChaosSettings } from './settings.js';
import type { System } from './system.js';

/** Beyond this something hangs that no limit of its own has caught. */
const SPARE_MS = 240_000;
const MATRIX_MS = 600_000;
const systems = new Set<System>();
const track = (system: System) => void systems.add(system);

/** Runs what the arguments ask for; resolves with whether every invariant held. */
export async function main(args: readonly string[]): Promise<boolean> {
  if (args.includes('--help')) {
    console.log(USAGE);
    return true;
  }
  const settings = parseSettings(args);
  const logs = mkdtempSync(join(tmpdir(), 'events-chaos-'));
  const limitMs = settings.matrix ? MATRIX_MS : settings.seeds * (settings.durationMs + SPARE_MS);
  const overdue = setTimeout(() => void abandon('it takes too long', 1), limitMs);
  process.once('SIGINT', () => void abandon('interrupted', 130));
  process.once('SIGTERM', () => void abandon('terminated', 143));
  let ok = false;
  try {
    const run = settings.matrix ? matrix : settings.seeds > 1 ? campaigns : campaign;
    ok = await run(settings, logs);
    return ok;
  } finally {
    clearTimeout(overdue);
    if (ok) rmSync(logs, { recursive: true, force: true });
    else console.log(`Logs: ${logs}`);
  }
}

async function campaign(settings: ChaosSettings, logs: string): Promise<boolean> {
  const { seed, database, queues, durationMs } = settings;
  const queue = queues[0]!;
  console.log(
    `chaos: seed ${seed}, ${database}, queue ${queue}, ${durationMs / 1_000} s; logs in ${logs}`,
  );
  const result = await runCampaign(settings, queue, logs, track);
  for (const line of reportChecks(result.checked)) console.log(line);
  console.log(reportFigures(result.figures, result.faults));
  if (!result.ok) console.log(`Again: npm run chaos -- ${argumentsOf(settings)}`);
  return result.ok;
}

/** A line for each campaign, and the sum of all. */
async function campaigns(settings: ChaosSettings, logs: string): Promise<boolean> {
  const { seeds, queues, durationMs } = settings;
  const first = Number(settings.seed);
  const sums = { events: 0, deliveries: 0, faults: 0, repeats: 0, ms: 0, violated: 0 };
  for (let index = 0; index < seeds; index++) {
    const queue = queues[index % queues.length]!;
    const own = { ...settings, seed: String(first + index), queues: [queue] };
    const folder = join(logs, own.seed);
    const { ok, checked, figures, faults } = await runCampaign(own, queue, folder, track);
    sums.events += figures.events;
    sums.deliveries += figures.deliveries;
    sums.faults += [...faults.values()].reduce((sum, count) => sum + count, 0);
    sums.repeats += figures.repeats;
    sums.ms += figures.ms;
    console.log(
      `${ok ? 'ok      ' : 'VIOLATED'} seed ${own.seed}, ${queue}: ${reportFigures(figures, faults)}`,
    );
    if (ok) continue;
    sums.violated++;
    for (const line of reportChecks(checked)) console.log(`         ${line}`);
    console.log(`         Again: npm run chaos -- ${argumentsOf(own)}`);
  }
  console.log(
    `${seeds} seeds of ${durationMs / 1_000} s: ${sums.violated} violated; ${sums.events} events, ` +
      `${sums.deliveries} deliveries, ${sums.faults} faults, ${sums.repeats} repeats, ` +
      `${(sums.ms / 60_000).toFixed(1)} min`,
  );
  return sums.violated === 0;
}

function argumentsOf({ seed, durationMs, queues, database }: ChaosSettings): string {
  const services = `--queue ${queues[0]} --database ${database}`;
  return `--seed ${seed} --duration ${durationMs / 1_000}s ${services}`;
}

/** The queues side by side: a case waits more than it works. */
async function matrix(settings: ChaosSettings, logs: string): Promise<boolean> {
  const started = Date.now();
  const results: MatrixResult[] = [];
  const told = (result: MatrixResult) => {
    results.push(result);
    reportCase(result);
  };
  const fine = await Promise.all(
    settings.queues.map((queue) => runMatrix(queue, settings, join(logs, queue), { track, told })),
  );
  const failed = results.filter(({ ok }) => !ok).length;
  const seconds = ((Date.now() - started) / 1_000).toFixed(1);
  console.log(`${results.length - failed} cases fine, ${failed} violated, ${seconds} s`);
  return fine.every(Boolean) && results.length > 0;
}

function reportCase({ name, ok, checked, problem, ms }: MatrixResult): void {
  console.log(`${ok ? 'ok      ' : 'VIOLATED'} ${name} (${(ms / 1_000).toFixed(1)} s)`);
  if (problem !== undefined) console.log(`            ${problem}`);
  if (!ok) for (const line of reportChecks(checked)) console.log(`         ${line}`);
}

async function abandon(why: string, code: number): Promise<never> {
  console.error(`chaos: ${why}, cleaning up`);
  await Promise.allSettled([...systems].map((system) => system.stop()));
  process.exit(code);
}
