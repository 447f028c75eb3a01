import { inspect } from 'node:util';
import { parseDuration } from './common/duration.js';
import { hideSecrets } from './common/error-text.js';
import { nearest } from './common/nearest.js';
import type { Standalone } from './emit/emit.options.js';
import { InvalidOptionsError } from './errors.js';
import { DEFAULTS, type EventsModuleOptions, type QueueOptions } from './events.options.js';
import { resolveBackoff } from './handle/backoff.js';
import { MAX_PRIORITY, type HandlerDefaults } from './handle/handler-definition.js';
import type { QueueTarget } from './queue/create-queue.js';
import type { WorkOptions } from './queue/event-queue.js';
import type { TableOptions } from './store/tables.js';

/** The options, complete and checked; durations are in ms. */
export interface ResolvedOptions {
  readonly namespace: string;
  readonly tables: TableOptions;
  readonly migrate: boolean;
  readonly queue: QueueTarget | undefined;
  readonly relay: { enabled: boolean; pollIntervalMs: number; batchSize: number };
  readonly rescue: { afterMs: number; intervalMs: number };
  /** What to work here; empty: nothing. */
  readonly workers: readonly WorkOptions[];
  readonly handlers: HandlerDefaults;
  readonly transaction: EventsModuleOptions['transaction'];
  readonly standalone: Standalone;
  readonly maxDataBytes: number;
  readonly maxInlineBytes: number;
  readonly maxErrorBytes: number;
  readonly shutdownTimeoutMs: number;
}

export const OPTION_NAMES: readonly (keyof EventsModuleOptions)[] = [
  'dataSource',
  'namespace',
  'tables',
  'migrate',
  'queue',
  'queues',
  'relay',
  'rescue',
  'workers',
  'defaults',
  'transaction',
  'standalone',
  'maxDataBytes',
  'maxInlineBytes',
  'maxErrorBytes',
  'shutdownTimeout',
];
const NAME = /^[A-Za-z0-9_-]{1,50}$/;
const NAME_RULE = 'use 1 to 50 letters, digits, "_" and "-".';

/**
 * Checks the options once, at boot, and fills in the defaults.
 *
 * @throws InvalidOptionsError naming the option, its value and the nearest valid name
 */
export function resolveOptions(options: EventsModuleOptions): ResolvedOptions {
  if (options === undefined) refuse('options', options, 'use an object.');
  checkObject(options, '', OPTION_NAMES);
  const namespace = options.namespace ?? DEFAULTS.namespace;
  if (typeof namespace !== 'string' || !NAME.test(namespace)) {
    refuse('namespace', namespace, NAME_RULE);
  }
  checkObject(options.tables, 'tables', ['prefix', 'schema']);
  const queues = resolveQueues(options);
  return {
    namespace,
    tables: {
      prefix: options.tables?.prefix ?? DEFAULTS.tables.prefix,
      schema: options.tables?.schema,
    },
    migrate: flag('migrate', options.migrate, process.env['NODE_ENV'] !== 'production'),
    queue: resolveTarget(options.queue),
    relay: resolveRelay(options),
    rescue: resolveRescue(options),
    workers: resolveWorkers(options, queues),
    handlers: { ...resolveDefaults(options), queues: Object.values(queues) },
    transaction: resolveTransaction(options.transaction),
    standalone: resolveStandalone(options.standalone),
    maxDataBytes: whole('maxDataBytes', options.maxDataBytes, DEFAULTS.maxDataBytes),
    maxInlineBytes: whole('maxInlineBytes', options.maxInlineBytes, DEFAULTS.maxInlineBytes, 0),
    maxErrorBytes: whole(
      'maxErrorBytes',
      options.maxErrorBytes,
      DEFAULTS.maxErrorBytes,
      256,
      65_536,
    ),
    shutdownTimeoutMs: ms('shutdownTimeout', options.shutdownTimeout, DEFAULTS.shutdownTimeout),
  };
}

/** As node-postgres takes them. */
const POSTGRES_SCHEMES = ['postgres', 'postgresql', 'socket', 'pg'];

function resolveTarget(target: EventsModuleOptions['queue']): QueueTarget | undefined {
  if (target === undefined) return undefined;
  checkObject(target, 'queue', ['redis', 'postgres', 'prefix']);
  const { redis, postgres, prefix } = target as Record<string, unknown>;
  if ((redis === undefined) === (postgres === undefined)) {
    throw new InvalidOptionsError(
      'queue',
      'must have either "redis" or "postgres". Is the environment variable behind it set?',
    );
  }
  for (const [name, value] of Object.entries({ redis, postgres })) {
    if (value === undefined) continue;
    const usable = typeof value === 'string' ? value !== '' : typeof value === 'object' && value;
    if (!usable) refuse(`queue.${name}`, value, 'use a URL or connection options.');
  }
  const { connectionString } = (postgres ?? {}) as { connectionString?: unknown };
  checkScheme('queue.redis', redis, ['redis', 'rediss']);
  checkScheme('queue.postgres', postgres, POSTGRES_SCHEMES);
  checkScheme('queue.postgres.connectionString', connectionString, POSTGRES_SCHEMES);
  if (prefix !== undefined && (typeof prefix !== 'string' || redis === undefined)) {
    refuse('queue.prefix', prefix, 'use a string, and only with "redis".');
  }
  return target;
}

/** The drivers take an address of another system, and wait for an answer that it never gives. */
function checkScheme(option: string, address: unknown, schemes: readonly string[]): void {
  if (typeof address !== 'string') return;
  const [, scheme] = /^\s*([a-z][a-z0-9+.-]*):\/\//i.exec(address) ?? [];
  if (scheme === undefined || schemes.includes(scheme.toLowerCase())) return;
  refuse(option, address, `use an address that begins with ${schemes[0]}://.`);
}

type QueueSettings = Pick<WorkOptions, 'queue' | 'concurrency' | 'limiter'>;

/** All queues, also those this process does not work: a wrong option is wrong everywhere. */
function resolveQueues({ queues = {} }: EventsModuleOptions): Record<string, QueueSettings> {
  checkObject(queues, 'queues');
  const all: Record<string, QueueOptions | undefined> = { default: {}, ...queues };
  const settings = Object.entries(all).map(([name, queue = {}]) => {
    const path = `queues.${name}`;
    if (!NAME.test(name)) refuse(path, name, NAME_RULE);
    checkObject(queue, path, ['concurrency', 'limiter']);
    const { concurrency, limiter } = queue;
    checkObject(limiter, `${path}.limiter`, ['max', 'duration']);
    return {
      queue: name,
      concurrency: whole(`${path}.concurrency`, concurrency, DEFAULTS.queue.concurrency, 1, 10_000),
      limiter: limiter && {
        max: whole(`${path}.limiter.max`, limiter.max, 0, 1),
        duration: ms(`${path}.limiter.duration`, limiter.duration, 0, 1),
      },
    };
  });
  return Object.fromEntries(settings.map((each) => [each.queue, each]));
}

function resolveRelay({ relay = {} }: EventsModuleOptions): ResolvedOptions['relay'] {
  checkObject(relay, 'relay', ['enabled', 'pollInterval', 'batchSize']);
  const { enabled, pollInterval, batchSize } = DEFAULTS.relay;
  return {
    enabled: flag('relay.enabled', relay.enabled, enabled),
    pollIntervalMs: ms('relay.pollInterval', relay.pollInterval, pollInterval, 10),
    batchSize: whole('relay.batchSize', relay.batchSize, batchSize, 1, 10_000),
  };
}

function resolveRescue({ rescue = {} }: EventsModuleOptions): ResolvedOptions['rescue'] {
  checkObject(rescue, 'rescue', ['after', 'interval']);
  return {
    afterMs: ms('rescue.after', rescue.after, DEFAULTS.rescue.after, 10),
    intervalMs: ms('rescue.interval', rescue.interval, DEFAULTS.rescue.interval, 10),
  };
}

function resolveWorkers(
  { workers = {} }: EventsModuleOptions,
  queues: Record<string, QueueSettings>,
): readonly WorkOptions[] {
  checkObject(workers, 'workers', ['enabled', 'queues', 'lockDuration', 'pollInterval']);
  const { enabled, lockDuration, pollInterval } = DEFAULTS.workers;
  const lockDurationMs = ms('workers.lockDuration', workers.lockDuration, lockDuration, 100);
  const pollIntervalMs = ms('workers.pollInterval', workers.pollInterval, pollInterval, 10);
  const known = Object.keys(queues);
  const worked = workers.queues ?? known;
  if (!Array.isArray(worked)) refuse('workers.queues', worked, 'use a list of names.');
  for (const name of worked) {
    if (!known.includes(name)) refuse('workers.queues', name, didYouMean(String(name), known));
  }
  if (!flag('workers.enabled', workers.enabled, enabled)) return [];
  return [...new Set(worked)].map((name) => ({
    ...(queues[name] as QueueSettings),
    lockDurationMs,
    pollIntervalMs,
  }));
}

function resolveDefaults({ defaults = {} }: EventsModuleOptions): Omit<HandlerDefaults, 'queues'> {
  checkObject(defaults, 'defaults', ['attempts', 'backoff', 'timeout', 'priority']);
  const { attempts, backoff, timeout, priority } = DEFAULTS.defaults;
  if (typeof defaults.backoff === 'object') {
    checkObject(defaults.backoff, 'defaults.backoff', ['type', 'delay', 'jitter', 'max']);
  }
  const delayAfter = resolveBackoff(defaults.backoff ?? backoff);
  return {
    attempts: whole('defaults.attempts', defaults.attempts, attempts, 1, 1_000_000),
    priority: whole('defaults.priority', defaults.priority, priority, 1, MAX_PRIORITY),
    timeoutMs: ms('defaults.timeout', defaults.timeout, timeout),
    delayAfter:
      delayAfter ??
      refuse(
        'defaults.backoff',
        defaults.backoff,
        "use a duration, { type: 'fixed' | 'exponential', delay, jitter?: 0 to 1, max? } or a function.",
      ),
  };
}

function resolveTransaction(
  transaction: EventsModuleOptions['transaction'],
): EventsModuleOptions['transaction'] {
  if (transaction !== undefined && typeof transaction !== 'function') {
    refuse(
      'transaction',
      transaction,
      'use a function that returns an EntityManager or undefined.',
    );
  }
  return transaction;
}

function resolveStandalone(value: Standalone = DEFAULTS.standalone): Standalone {
  if (value !== 'reject' && value !== 'allow') {
    refuse('standalone', value, "use 'reject' or 'allow'.");
  }
  return value;
}

/**
 * An option that is misspelt would do nothing, and nobody would notice.
 *
 * @param path of the object that has the options; empty: they are the module's
 * @throws InvalidOptionsError naming the option, its value and the nearest of those that are known
 */
export function checkObject(value: unknown, path: string, known?: readonly string[]): void {
  if (value === undefined) return;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    refuse(path === '' ? 'options' : path, value, 'use an object.');
  }
  if (known === undefined) return;
  for (const key of Object.keys(value)) {
    if (known.includes(key)) continue;
    const option = path === '' ? key : `${path}.${key}`;
    const shown = print((value as Record<string, unknown>)[key]);
    throw new InvalidOptionsError(
      option,
      `is unknown (its value is ${shown}); ${didYouMean(key, known)}`,
    );
  }
}

function didYouMean(name: string, known: readonly string[]): string {
  const suggestion = nearest(name, known);
  return suggestion === undefined
    ? `known are: ${known.join(', ')}.`
    : `did you mean "${suggestion}"?`;
}

function flag(option: string, value: boolean | undefined, fallback: boolean): boolean {
  if (value === undefined) return fallback;
  return typeof value === 'boolean' ? value : refuse(option, value, 'use true or false.');
}

function whole(
  option: string,
  value: number | undefined,
  fallback: number,
  min = 1,
  max = Number.MAX_SAFE_INTEGER,
): number {
  const number = value ?? fallback;
  if (Number.isInteger(number) && number >= min && number <= max) return number;
  const upTo = max === Number.MAX_SAFE_INTEGER ? '' : ` to ${max}`;
  return refuse(option, value, `use a whole number from ${min}${upTo}.`);
}

function ms(option: string, value: unknown, fallback: unknown, min = 0): number {
  const parsed = parseDuration(value ?? fallback);
  // Timers count in 32 bits; a longer wait would fire at once.
  if (parsed !== undefined && parsed >= min && parsed <= 2_147_483_647) return parsed;
  const least = min > 0 ? `, at least ${min} ms` : '';
  return refuse(option, value, `use milliseconds or a duration such as '30s'${least}.`);
}

/** Values are printed to be found again in the code, without the secrets they may hold. */
function print(value: unknown): string {
  const text = hideSecrets(asText(value).slice(0, 10_000));
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

function asText(value: unknown): string {
  if (typeof value === 'function') return 'a function';
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    // It refers to itself (a DataSource), or holds a BigInt.
    return inspect(value, { depth: 0, breakLength: Infinity });
  }
}

function refuse(option: string, value: unknown, rule: string): never {
  throw new InvalidOptionsError(option, `is ${print(value)}; ${rule}`);
}
