import { progress, type Bench } from '../parent/bench.js';
import { startChild, type BenchChild } from '../parent/child-process.js';
import { writeHistory } from '../parent/history.js';
import type { BacklogDrained } from '../scenarios/backlog.js';
import type { Idle } from '../scenarios/idle.js';

const SPARE_MS = 60_000;

/** What a process costs in front of a long backlog, and with nothing to do. Once, not in rounds. */
export async function memory(bench: Bench): Promise<void> {
  for (const [contender, measure] of [
    ['draining a backlog', drainBacklog],
    ['idle', rest],
  ] as const) {
    progress(`memory, ${contender}`);
    try {
      await measure(bench, (metric, unit, value) =>
        bench.results.add('memory', contender, metric, unit, value),
      );
    } catch (error) {
      bench.results.failures.push(`memory, ${contender}: ${String(error)}`);
    }
  }
}

type Add = (metric: string, unit: string, value: number) => void;

async function drainBacklog(bench: Bench, add: Add): Promise<void> {
  const { backlogEvents, backlogMs } = bench.settings.sizes;
  const database = await bench.servers.createDatabase();
  try {
    // A boot makes the tables, and registers the handler.
    await (await child(bench, database.url, 'drain')).close();
    await writeHistory(database.url, { waiting: backlogEvents });
    const draining = await child(bench, database.url, 'backlog', { count: backlogEvents });
    try {
      const drained = await draining.ask<BacklogDrained>('drain', backlogMs, backlogMs + SPARE_MS);
      add('peak RSS', 'MB', drained.peakRssBytes / 1e6);
      add('waiting', 'events', backlogEvents);
      add('handled', 'events', drained.handled);
      add('throughput', 'deliveries/s', drained.handled / drained.seconds);
    } finally {
      await draining.close();
    }
  } finally {
    await bench.servers.dropDatabase(database);
  }
}

async function rest(bench: Bench, add: Add): Promise<void> {
  const { idleMs } = bench.settings.sizes;
  const database = await bench.servers.createDatabase();
  try {
    const idle = await child(bench, database.url, 'idle');
    try {
      const figures = await idle.ask<Idle>('rest', idleMs, 2 * idleMs + SPARE_MS);
      add('RSS', 'MB', figures.rssBytes / 1e6);
      add('queries', 'per min', figures.queriesPerMinute);
      add('CPU', '%', figures.cpuPercent);
    } finally {
      await idle.close();
    }
  } finally {
    await bench.servers.dropDatabase(database);
  }
}

function child(
  { own, servers }: Bench,
  databaseUrl: string,
  scenario: string,
  options: Readonly<Record<string, unknown>> = {},
): Promise<BenchChild> {
  const contender = 'contenders/durable-events';
  return startChild({ scenario, contender, databaseUrl, redisUrl: servers.redisUrl, options }, own);
}
