import type { Bench } from '../parent/bench.js';
import { startChild, type Place } from '../parent/child-process.js';
import { inRounds, type Entry } from '../parent/rounds.js';
import type { Drained } from '../scenarios/drain.js';

/** Slower than this, a contender is given up. */
const SLOWEST_PER_SECOND = 100;
const SPARE_MS = 60_000;
const MAX_WARM_UP_EVENTS = 1_000;

interface Variant {
  readonly contender: string;
  readonly module: string;
  readonly options?: Readonly<Record<string, unknown>>;
  /** A peer, and whether it needs a Node newer than the oldest one that this project runs on. */
  readonly peer?: 'any node' | 'new node';
  /** One that would take minutes gets a part of the events. Fewer waiting ones make nobody slower. */
  readonly part?: number;
}

const VARIANTS: readonly Variant[] = [
  { contender: 'BullMQ', module: 'contenders/bullmq' },
  { contender: 'BullMQ, 3 jobs', module: 'contenders/bullmq', options: { handlers: 3 } },
  { contender: 'durable-events', module: 'contenders/durable-events' },
  {
    contender: 'durable-events, 3 handlers',
    module: 'contenders/durable-events',
    options: { handlers: 3 },
  },
  {
    contender: 'durable-events, batch handler',
    module: 'contenders/durable-events',
    options: { batch: true },
  },
  {
    contender: 'durable-events, PostgreSQL queue',
    module: 'contenders/durable-events',
    options: { queue: 'postgres' },
  },
  { contender: 'graphile-worker', module: 'peers/graphile-worker', peer: 'new node' },
  {
    contender: 'graphile-worker, batched',
    module: 'peers/graphile-worker',
    options: { batched: true },
    peer: 'new node',
  },
  { contender: 'pg-boss', module: 'peers/pg-boss', peer: 'new node' },
  {
    contender: 'pg-boss, whole batches',
    module: 'peers/pg-boss',
    options: { wholeBatches: true },
    peer: 'new node',
  },
  {
    contender: 'pg-transactional-outbox (a tenth of the events)',
    part: 0.1,
    module: 'peers/pg-transactional-outbox',
    peer: 'any node',
  },
  { contender: 'nestjs-outbox', module: 'peers/nestjs-outbox', peer: 'any node' },
];

/** Waiting events are handled by one process: deliveries per second until the database has them done. */
export async function drain(bench: Bench): Promise<void> {
  const { results, settings } = bench;
  const entries: Entry[] = [];
  for (const variant of VARIANTS) {
    const place = placeOf(bench, variant);
    const { contender } = variant;
    if (typeof place === 'string') {
      results.leftOut.push({ group: 'drain', contender, reason: place });
      continue;
    }
    const foreign = variant.peer !== undefined;
    entries.push({ contender, foreign, measure: () => measure(bench, variant, place) });
  }
  await inRounds('drain', entries, settings.sizes.rounds, results);
}

/** Where to run it, or why it can't be run. */
function placeOf({ own, peers }: Bench, { peer }: Variant): Place | string {
  if (peer === undefined) return own;
  if (peers.build === undefined) return peers.reason;
  if (peers.node !== undefined) return { build: peers.build, node: peers.node };
  return peer === 'any node' ? { build: peers.build, node: own.node } : peers.reason;
}

async function measure(bench: Bench, variant: Variant, place: Place): Promise<void> {
  const { results, servers, settings } = bench;
  const { contender, module, options = {}, part = 1 } = variant;
  const events = Math.ceil(settings.sizes.drainEvents * part);
  const warmUpEvents = Math.min(MAX_WARM_UP_EVENTS, Math.ceil(events / 5));
  const handlers = Number(options['handlers'] ?? 1);
  const database = await servers.createDatabase();
  try {
    const child = await startChild(
      {
        scenario: 'drain',
        contender: module,
        databaseUrl: database.url,
        redisUrl: servers.redisUrl,
        options: { ...options, warmUpEvents },
      },
      place,
    );
    try {
      const limitMs = SPARE_MS + (events * handlers * 1_000) / SLOWEST_PER_SECOND;
      const drained = await child.ask<Drained>('drain', events, limitMs);
      const add = (metric: string, unit: string, value: number) =>
        results.add('drain', contender, metric, unit, value);
      const deliveries = events * handlers;
      add('throughput', 'deliveries/s', deliveries / drained.seconds);
      add('handlers only', 'deliveries/s', deliveries / drained.handlerSeconds);
      add('CPU', 'µs/delivery', (drained.cpuSeconds * 1e6) / deliveries);
      add('peak RSS', 'MB', drained.peakRssBytes / 1e6);
      add('repeats', 'calls', drained.repeats);
    } finally {
      await child.close();
    }
  } finally {
    await servers.dropDatabase(database);
  }
}
