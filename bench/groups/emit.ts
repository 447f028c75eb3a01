import type { Bench } from '../parent/bench.js';
import { startChild } from '../parent/child-process.js';
import { inRounds } from '../parent/rounds.js';
import type { EmitCost } from '../scenarios/emit.js';

const CONNECTIONS = [1, 10];
const SLOWEST_PER_SECOND = 5;
const SPARE_MS = 30_000;

/** What an emit adds to a transaction. One process per round has all variants: they share a library. */
export async function emit(bench: Bench): Promise<void> {
  const { results, settings } = bench;
  const measure = () => measureRound(bench);
  const entry = { contender: 'durable-events', foreign: false, measure };
  await inRounds('emit', [entry], settings.sizes.rounds, results);
}

async function measureRound({ own, results, servers, settings }: Bench): Promise<void> {
  const transactions = settings.sizes.emitTransactions;
  const database = await servers.createDatabase();
  try {
    const child = await startChild(
      {
        scenario: 'emit',
        contender: 'contenders/durable-events',
        databaseUrl: database.url,
        redisUrl: servers.redisUrl,
        options: {},
      },
      own,
    );
    try {
      for (const connections of CONNECTIONS) {
        const limitMs = SPARE_MS + (transactions * 1_000) / SLOWEST_PER_SECOND;
        const costs = await child.ask<Record<string, EmitCost>>(
          'run',
          { atLeast: transactions, connections },
          limitMs,
        );
        for (const [variant, { wall, cpu }] of Object.entries(costs)) {
          results.add('emit', variant, `time, ${connections} conn.`, 'µs', wall);
          results.add('emit', variant, `CPU, ${connections} conn.`, 'µs', cpu);
        }
      }
    } finally {
      await child.close();
    }
  } finally {
    await servers.dropDatabase(database);
  }
}
