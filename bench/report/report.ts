import { writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { versionsOf, type Machine } from '../parent/machine.js';
import type { Results } from '../parent/results.js';
import type { Servers } from '../parent/servers.js';
import { median, medianRatio, spread } from '../parent/stats.js';
import type { GroupName, Settings } from '../settings.js';
import { checkGoals, type Goal } from './goals.js';
import { number, table } from './table.js';

/** What a run was and gave. */
export interface Run {
  readonly settings: Settings;
  readonly machine: Machine;
  readonly servers: Servers;
  readonly results: Results;
  /** Folders whose packages were measured: the project's, and the peers'. */
  readonly folders: { readonly own: string; readonly peers: string };
}

const OWN_PACKAGES = [
  'nestjs-durable-events',
  'bullmq',
  'typeorm',
  'pg',
  'ioredis',
  '@nestjs/core',
];
const PEER_PACKAGES = [
  'graphile-worker',
  'pg-boss',
  'pg-transactional-outbox',
  '@fullstackhouse/nestjs-outbox',
];

/** How a group's contenders are compared: by their first metric, with that of a reference. */
const GROUP_TABLES: Readonly<Record<GroupName, { title: string; reference?: string }>> = {
  emit: { title: 'Emit: one business row, and beyond', reference: '+ INSERT of the same row' },
  drain: { title: 'Drain: waiting events, one process', reference: 'BullMQ' },
  latency: {
    title: 'Latency at 100 events/s: to the start of the handler',
    reference: 'BullMQ, one process',
  },
  flat: { title: 'Flat cost: drain beside a history', reference: 'empty log' },
  memory: { title: 'Memory and idle' },
};

/** Prints the run's figures, and writes them to the file that was asked for. */
export function writeReport(run: Run): void {
  const { settings, results } = run;
  const goals = checkGoals(results, settings.groups);
  const facts = factsOf(run);
  console.log(`\n${settings.command}\n`);
  for (const [name, text] of Object.entries(facts)) console.log(`${name}: ${text}`);
  for (const group of settings.groups) console.log(`\n${groupTable(group, results)}`);
  console.log(`\nGoals\n\n${goalTable(goals)}`);
  for (const { group, contender, reason } of results.leftOut) {
    console.log(`\nLeft out of ${group}: ${contender}: ${reason}`);
  }
  for (const failure of results.failures) console.error(`\nFAILED: ${failure}`);
  if (settings.json !== undefined) {
    const { leftOut, failures } = results;
    const document = {
      command: settings.command,
      facts,
      sizes: settings.sizes,
      results,
      goals,
      leftOut,
      failures,
    };
    writeFileSync(settings.json, `${JSON.stringify(document, null, 2)}\n`);
  }
}

function factsOf({ settings, machine, servers, folders }: Run): Record<string, string> {
  const list = (values: Readonly<Record<string, string>>) =>
    Object.entries(values)
      .map(([name, value]) => `${name} ${value}`)
      .join(', ');
  const { postgres, redis } = servers;
  return {
    Date: new Date().toISOString(),
    Machine:
      `${machine.cores} cores (${machine.cpu}), ${machine.memoryGiB} GiB, ${machine.system}, ` +
      `Node ${machine.node}`,
    Load: `${machine.loadBefore.toFixed(1)} before, ${loadavg()[0]!.toFixed(1)} at the end (1 min)`,
    PostgreSQL: `${postgres.version}, ${postgres.from}; ${list(postgres.settings)}`,
    Redis: `${redis.version}, ${redis.from}; ${list(redis.settings)}`,
    Versions: list({
      ...versionsOf(OWN_PACKAGES, folders.own),
      ...versionsOf(PEER_PACKAGES, folders.peers),
    }),
    Method:
      `medians of ${settings.sizes.rounds} interleaved rounds, ± half the range; ratios are ` +
      'medians of the rounds’ ratios',
  };
}

function groupTable(group: GroupName, results: Results): string {
  const { title, reference } = GROUP_TABLES[group];
  const figures = results.all().filter((figure) => figure.group === group);
  const metrics = [...new Map(figures.map(({ metric, unit }) => [metric, unit]))];
  const contenders = [...new Set(figures.map(({ contender }) => contender))];
  const primary = metrics[0]?.[0] ?? '';
  const cell = (contender: string, metric: string) => {
    const values = results.values(group, contender, metric);
    if (values.length === 0) return '–';
    const range =
      values.length > 1 && median(values) !== 0 ? ` ±${(spread(values) * 100).toFixed(0)}%` : '';
    return `${number(median(values))}${range}`;
  };
  const ratio = (contender: string) => {
    const value = medianRatio(
      results.values(group, contender, primary),
      results.values(group, reference ?? '', primary),
    );
    return Number.isFinite(value) ? value.toFixed(2) : '–';
  };
  const head = [title, ...metrics.map(([metric, unit]) => `${metric} (${unit})`)];
  const rows = contenders.map((contender) => [
    contender,
    ...metrics.map(([metric]) => cell(contender, metric)),
    ...(reference === undefined ? [] : [ratio(contender)]),
  ]);
  return table(reference === undefined ? head : [...head, `to ${reference}`], rows);
}

function goalTable(goals: readonly Goal[]): string {
  return table(
    ['Goal', 'limit', 'measured', ''],
    goals.map(({ text, limit, value, met }) => [
      text,
      limit,
      number(value),
      Number.isNaN(value) ? 'not measured' : met ? 'met' : `missed: ${missedBy(limit, value)}`,
    ]),
  );
}

/** How far from the limit, as a factor that would have to be won. */
function missedBy(limit: string, value: number): string {
  const wanted = Number(/[\d.]+/.exec(limit)?.[0]);
  const factor = limit.startsWith('≤') ? value / wanted : wanted / value;
  return `by ${number(factor)} ×`;
}
