import { randomUUID } from 'node:crypto';
import type { Role } from '../contenders/latency.js';
import type { Bench } from '../parent/bench.js';
import { startChild } from '../parent/child-process.js';
import { inRounds } from '../parent/rounds.js';
import { quantile } from '../parent/stats.js';
import type { Moments, Rate } from '../scenarios/latency.js';

const PER_SECOND = 100;
const WARM_UP_EVENTS = 100;
const SPARE_MS = 30_000;

const LIBRARIES = [
  ['BullMQ', 'contenders/bullmq'],
  ['durable-events', 'contenders/durable-events'],
] as const;

/** From the commit (BullMQ: the call of `add`) to the start of the handler, at a steady 100 events/s. */
export async function latency(bench: Bench): Promise<void> {
  const { results, settings } = bench;
  const entries = [1, 2].flatMap((processes) =>
    LIBRARIES.map(([library, module]) => {
      const contender = `${library}, ${processes === 1 ? 'one process' : 'two processes'}`;
      const measure = () => measureOnce(bench, contender, module, processes);
      return { contender, foreign: false, measure };
    }),
  );
  await inRounds('latency', entries, settings.sizes.rounds, results);
}

async function measureOnce(
  { own, results, servers, settings }: Bench,
  contender: string,
  module: string,
  processes: number,
): Promise<void> {
  const database = await servers.createDatabase();
  const queueName = `bench-${randomUUID()}`;
  const child = (role: Role) =>
    startChild(
      {
        scenario: 'latency',
        contender: module,
        databaseUrl: database.url,
        redisUrl: servers.redisUrl,
        options: { role, queueName },
      },
      own,
    );
  try {
    // The worker first: its handlers must be registered before the first event.
    const worker = await child(processes === 1 ? 'both' : 'work');
    const emitter = processes === 1 ? worker : await child('emit');
    try {
      const round = async (rate: Rate) => {
        const limitMs = SPARE_MS + (rate.count * 1_000) / rate.perSecond;
        const emitted = await emitter.ask<Moments>('emit', rate, limitMs);
        const handled = await worker.ask<Moments>('handled', rate.count, limitMs);
        return Object.entries(emitted).map(([n, moment]) => handled[Number(n)]! - moment);
      };
      await round({ from: 0, count: WARM_UP_EVENTS, perSecond: PER_SECOND });
      const count = Math.ceil((settings.sizes.latencyMs / 1_000) * PER_SECOND);
      const waits = await round({ from: WARM_UP_EVENTS, count, perSecond: PER_SECOND });
      results.add('latency', contender, 'p50', 'ms', quantile(waits, 0.5));
      results.add('latency', contender, 'p99', 'ms', quantile(waits, 0.99));
      results.add('latency', contender, 'max', 'ms', Math.max(...waits));
    } finally {
      await worker.close();
      if (emitter !== worker) await emitter.close();
    }
  } finally {
    await servers.dropDatabase(database);
  }
}
