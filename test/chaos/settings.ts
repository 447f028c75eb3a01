import { parseArgs } from 'node:util';
import type { QueueKind } from './chaos-queue.js';
import type { DatabaseKind } from './databases/dialect.js';

export interface ChaosSettings {
  readonly seed: string;
  /** Campaigns, one after the other, with this seed and the numbers after it. */
  readonly seeds: number;
  readonly durationMs: number;
  readonly database: DatabaseKind;
  /** A matrix may run on several. */
  readonly queues: readonly QueueKind[];
  /** Transactions per second, of each emitter. */
  readonly rate: number;
  /** Only these kinds of faults; empty: all. */
  readonly faults: readonly string[];
  readonly without: readonly string[];
  readonly matrix: boolean;
  /** Matrix: events of each case. */
  readonly events: number;
  /** Matrix: only cases whose name contains this. */
  readonly filter: string;
  /** Matrix: time for each case to become quiet. */
  readonly quietMs: number;
}

export const USAGE = `npm run chaos -- [options]

  --seed N            of everything left to chance (default: by chance)
  --seeds 1           so many campaigns one after the other, with this seed and the numbers after it,
                      on both queues in turn unless --queue is given (mariadb: on redis)
  --duration 60s      how long faults are injected
  --queue redis       redis | postgres
  --database postgres postgres | mariadb: what the application's data is in; mariadb takes Redis unless
                      --queue is given, and a PostgreSQL of its own for --queue postgres
  --rate 20           transactions per second, of each emitter
  --faults a,b        only these kinds of faults; none: only load
  --without a,b       not these kinds of faults
  --matrix            every failpoint × { kill, pause }, on both queues unless --queue is given
  --events 30         orders of each case of the matrix
  --filter text       only cases of the matrix whose name contains it
  --quiet 40s         time for each case of the matrix to become quiet
  --planted name      with a fault planted in the library, see test/chaos/planted/
`;

export function parseSettings(args: readonly string[]): ChaosSettings {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
      seeds: { type: 'string', default: '1' },
      duration: { type: 'string', default: '60s' },
      queue: { type: 'string' },
      database: { type: 'string', default: 'postgres' },
      rate: { type: 'string', default: '20' },
      faults: { type: 'string', default: '' },
      without: { type: 'string', default: '' },
      matrix: { type: 'boolean', default: false },
      events: { type: 'string', default: '30' },
      filter: { type: 'string', default: '' },
      quiet: { type: 'string', default: '40s' },
    },
  });
  const database = databaseKind(values.database);
  const queues = values.queue === undefined ? undefined : [queueKind(values.queue)];
  const seeds = Number(values.seeds);
  const several = values.matrix || seeds > 1;
  return {
    seed: values.seed,
    seeds,
    durationMs: milliseconds(values.duration),
    database,
    queues: queues ?? (several && database === 'postgres' ? ['redis', 'postgres'] : ['redis']),
    rate: Number(values.rate),
    faults: values.faults.split(',').filter(Boolean),
    without: values.without.split(',').filter(Boolean),
    matrix: values.matrix,
    events: Number(values.events),
    filter: values.filter,
    quietMs: milliseconds(values.quiet),
  };
}

function databaseKind(text: string): DatabaseKind {
  if (text === 'postgres' || text === 'mariadb') return text;
  throw new Error(`--database ${text}: postgres or mariadb`);
}

function queueKind(text: string): QueueKind {
  if (text === 'redis' || text === 'postgres') return text;
  throw new Error(`--queue ${text}: redis or postgres`);
}

function milliseconds(text: string): number {
  const match = /^(\d+)(s|m)?$/.exec(text);
  if (match === null) throw new Error(`${text} is no duration: 60s or 2m`);
  return Number(match[1]) * (match[2] === 'm' ? 60_000 : 1_000);
}
