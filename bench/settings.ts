import { parseArgs } from 'node:util';

export const GROUPS = ['emit', 'drain', 'latency', 'flat', 'memory'] as const;
export type GroupName = (typeof GROUPS)[number];

export const USAGE = `Usage: npm run bench -- [options]

  --quick          smaller counts and fewer rounds, without the group flat: at most 3 minutes
  --only a,b       only these groups: ${GROUPS.join(', ')}
  --rounds n       rounds per group
  --scale x        multiplies all counts and durations; for trying out the benchmark itself
  --json file      writes everything measured there, too
  --node path      the Node that the contenders run on; default: one that all of them run on

DATABASE_URL and REDIS_URL name servers to use, on this machine; default: private ones, started from
installed binaries. The database's user must be allowed to create databases.`;

/** How much is measured. Counts are events or transactions, times are in ms. */
export interface Sizes {
  readonly rounds: number;
  readonly emitTransactions: number;
  readonly drainEvents: number;
  readonly latencyMs: number;
  readonly flatRows: readonly number[];
  readonly flatScheduled: number;
  readonly flatEvents: number;
  readonly backlogEvents: number;
  /** A backlog that takes longer is not drained to its end. */
  readonly backlogMs: number;
  readonly idleMs: number;
}

export interface Settings {
  readonly quick: boolean;
  readonly groups: readonly GroupName[];
  readonly sizes: Sizes;
  readonly json: string | undefined;
  readonly node: string | undefined;
  /** As it was called, for the report. */
  readonly command: string;
  /** Beyond this the run is given up, in ms. */
  readonly limitMs: number;
}

const FULL: Sizes = {
  rounds: 5,
  emitTransactions: 4_000,
  drainEvents: 50_000,
  latencyMs: 20_000,
  flatRows: [1_000_000, 10_000_000],
  flatScheduled: 1_000_000,
  flatEvents: 30_000,
  backlogEvents: 1_000_000,
  backlogMs: 600_000,
  idleMs: 60_000,
};

const QUICK: Sizes = {
  ...FULL,
  rounds: 2,
  emitTransactions: 500,
  drainEvents: 3_000,
  latencyMs: 2_000,
  backlogEvents: 50_000,
  backlogMs: 8_000,
  idleMs: 8_000,
};

const QUICK_LIMIT_MS = 900_000;
const FULL_LIMIT_MS = 4 * 3_600_000;

/**
 * Reads the command line. Prints the usage and resolves to undefined for `--help`.
 *
 * @throws Error that names what can't be used
 */
export function parseSettings(args: readonly string[]): Settings | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      rounds: { type: 'string' },
      scale: { type: 'string', default: '1' },
      json: { type: 'string' },
      node: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return undefined;
  }
  const { quick, only, json, node } = values;
  const sizes = scaled(quick ? QUICK : FULL, positive('scale', values.scale));
  return {
    quick,
    groups: only === undefined ? GROUPS.filter((name) => !quick || name !== 'flat') : chosen(only),
    sizes:
      values.rounds === undefined ? sizes : { ...sizes, rounds: positive('rounds', values.rounds) },
    json,
    node,
    command: ['npm run bench', ...(args.length > 0 ? ['--', ...args] : [])].join(' '),
    limitMs: quick ? QUICK_LIMIT_MS : FULL_LIMIT_MS,
  };
}

function scaled(sizes: Sizes, scale: number): Sizes {
  const times = (value: number) => Math.ceil(value * scale);
  const { rounds, flatRows, ...rest } = sizes;
  const counts = Object.entries(rest).map(([name, value]) => [name, times(value)]);
  return {
    ...(Object.fromEntries(counts) as Omit<Sizes, 'rounds' | 'flatRows'>),
    rounds,
    flatRows: flatRows.map(times),
  };
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${name} must be a number above 0, not "${text}".`);
  return value;
}

function chosen(only: string): GroupName[] {
  const names = only.split(',');
  for (const name of names) {
    if (!GROUPS.includes(name as GroupName)) {
      throw new Error(`--only: there is no group "${name}"; there are ${GROUPS.join(', ')}.`);
    }
  }
  return GROUPS.filter((name) => names.includes(name));
}
