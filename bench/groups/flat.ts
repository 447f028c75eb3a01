import pg from 'pg';
import type { TestDatabase } from '../../scripts/services/database.mjs';
import { progress, type Bench } from '../parent/bench.js';
import { startChild } from '../parent/child-process.js';
import { writeHistory, type History } from '../parent/history.js';
import { inRounds } from '../parent/rounds.js';
import type { Drained } from '../scenarios/drain.js';

const SPARE_MS = 60_000;
const SLOWEST_PER_SECOND = 50;
/** Drains before the first that is measured, so that there are dead rows that no vacuum can remove. */
const AGEING_DRAINS = 3;

/** Drains beside a history: a long log, many scheduled events, dead rows that must stay. */
export async function flat(bench: Bench): Promise<void> {
  const { results, settings } = bench;
  const { rounds, flatRows, flatScheduled } = settings.sizes;
  const pinned = await makeDatabase(bench, 'horizon pinned', {});
  const pin = await pinHorizon(pinned.url);
  try {
    for (let drain = 0; drain < AGEING_DRAINS; drain++) await drainOnce(bench, pinned);
    const databases: (readonly [string, TestDatabase])[] = [
      ['empty log', await makeDatabase(bench, 'empty log', {})],
    ];
    for (const logged of flatRows) {
      const state = `${logged.toLocaleString('en')} rows in the log`;
      databases.push([state, await makeDatabase(bench, state, { logged })]);
    }
    const scheduled = `${flatScheduled.toLocaleString('en')} scheduled events`;
    databases.push([scheduled, await makeDatabase(bench, scheduled, { scheduled: flatScheduled })]);
    databases.push(['horizon pinned', pinned]);
    const entries = databases.map(([contender, database]) => ({
      contender,
      foreign: false,
      async measure() {
        const { events, seconds, passMs } = await drainOnce(bench, database);
        results.add('flat', contender, 'throughput', 'deliveries/s', events / seconds);
        if (passMs !== undefined) results.add('flat', contender, 'relay pass', 'ms', passMs);
        if (database === pinned) results.add('flat', contender, 'pinned', 'min', pin.minutes());
      },
    }));
    await inRounds('flat', entries, rounds, results);
    for (const [, database] of databases) await bench.servers.dropDatabase(database);
  } finally {
    await pin.release();
  }
}

async function makeDatabase(bench: Bench, state: string, history: History): Promise<TestDatabase> {
  progress(`flat, making a database: ${state}`);
  const database = await bench.servers.createDatabase();
  // Its warm-up makes the tables, and registers the handler.
  const child = await startChild(taskOf(bench, database), bench.own);
  await child.close();
  await writeHistory(database.url, history);
  return database;
}

async function drainOnce(bench: Bench, database: TestDatabase): Promise<Drained> {
  const events = bench.settings.sizes.flatEvents;
  const child = await startChild(taskOf(bench, database), bench.own);
  try {
    const limitMs = SPARE_MS + (events * 1_000) / SLOWEST_PER_SECOND;
    return await child.ask<Drained>('drain', events, limitMs);
  } finally {
    await child.close();
  }
}

function taskOf({ servers }: Bench, database: TestDatabase) {
  return {
    scenario: 'drain',
    contender: 'contenders/durable-events',
    databaseUrl: database.url,
    redisUrl: servers.redisUrl,
    options: {},
  };
}

/** A transaction with a snapshot, as a long report or a forgotten session has it. */
async function pinHorizon(databaseUrl: string) {
  const client = new pg.Client({ connectionString: databaseUrl });
  // The server may end before it does, when a run is given up.
  client.on('error', () => undefined);
  await client.connect();
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
  await client.query('SELECT count(*) FROM events_log');
  const since = performance.now();
  return {
    minutes: () => (performance.now() - since) / 60_000,
    release: () => client.end(),
  };
}
