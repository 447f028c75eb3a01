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
  const limitMs = settings.matrix ? MATRIX_MS : settings.durationMs + SPARE_MS;
  const overdue = setTimeout(() => void abandon('it takes too long', 1), limitMs);
  process.once('SIGINT', () => void abandon('interrupted', 130));
  process.once('SIGTERM', () => void abandon('terminated', 143));
  let ok = false;
  try {
    ok = await (settings.matrix ? matrix(settings, logs) : campaign(settings, logs));
    return ok;
  } finally {
    clearTimeout(overdue);
    if (ok) rmSync(logs, { recursive: true, force: true });
    else console.log(`Logs: ${logs}`);
  }
}

async function campaign(settings: ChaosSettings, logs: string): Promise<boolean> {
  const { seed, queues, durationMs } = settings;
  const queue = queues[0]!;
  console.log(`chaos: seed ${seed}, queue ${queue}, ${durationMs / 1_000} s; logs in ${logs}`);
  const result = await runCampaign(settings, queue, logs, track);
  for (const line of reportChecks(result.checked)) console.log(line);
  console.log(reportFigures(result.figures, result.faults));
  if (!result.ok) {
    const same = `--seed ${seed} --duration ${durationMs / 1_000}s --queue ${queue}`;
    console.log(`Again: npm run chaos -- ${same}`);
  }
  return result.ok;
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
