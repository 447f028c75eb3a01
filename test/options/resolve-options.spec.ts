import { Redis } from 'ioredis';
import { DataSource } from 'typeorm';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { InvalidOptionsError } from '../../lib/errors.js';
import type { EventsModuleOptions } from '../../lib/events.options.js';
import { resolveOptions } from '../../lib/resolve-options.js';

afterEach(() => {
  vi.unstubAllEnvs();
});

/** The error that these options must cause. */
function refusalOf(options: unknown): InvalidOptionsError {
  try {
    resolveOptions(options as EventsModuleOptions);
  } catch (error) {
    if (error instanceof InvalidOptionsError) return error;
    throw error;
  }
  throw new Error('was not refused');
}

describe('defaults', () => {
  it('are filled in where nothing is given', () => {
    const { handlers, ...rest } = resolveOptions({});
    expect(rest).toEqual({
      namespace: 'default',
      tables: { prefix: 'events_', schema: undefined },
      migrate: true,
      queue: undefined,
      relay: { enabled: true, pollIntervalMs: 1_000, batchSize: 500 },
      rescue: { afterMs: 60_000, intervalMs: 15_000 },
      workers: [
        {
          queue: 'default',
          concurrency: 50,
          limiter: undefined,
          lockDurationMs: 30_000,
          pollIntervalMs: 5_000,
        },
      ],
      transaction: undefined,
      standalone: 'reject',
      maxDataBytes: 262_144,
      maxInlineBytes: 16_384,
      maxErrorBytes: 8_192,
      shutdownTimeoutMs: 10_000,
    });
    expect(handlers).toMatchObject({
      attempts: 5,
      priority: 50,
      timeoutMs: 30_000,
      queues: [{ queue: 'default', concurrency: 50, limiter: undefined }],
    });
    // 1 s, 2 s, …, half of it left to chance.
    expect(handlers.delayAfter(3, undefined)).toBeGreaterThanOrEqual(2_000);
    expect(handlers.delayAfter(3, undefined)).toBeLessThanOrEqual(4_000);
  });

  it('count for undefined values too', () => {
    const given = {
      relay: undefined,
      queues: undefined,
      standalone: undefined,
      workers: { queues: undefined },
    };
    expect(resolveOptions(given as unknown as EventsModuleOptions)).toMatchObject({
      relay: { pollIntervalMs: 1_000 },
      standalone: 'reject',
      workers: [{ queue: 'default' }],
    });
  });

  it('migrate outside production only, unless told', () => {
    vi.stubEnv('NODE_ENV', 'production');
    expect(resolveOptions({}).migrate).toBe(false);
    expect(resolveOptions({ migrate: true }).migrate).toBe(true);
    vi.stubEnv('NODE_ENV', 'staging');
    expect(resolveOptions({}).migrate).toBe(true);
    expect(resolveOptions({ migrate: false }).migrate).toBe(false);
  });
});

describe('values', () => {
  it('are taken, durations in milliseconds', () => {
    const options: EventsModuleOptions = {
      namespace: 'shop-1',
      tables: { prefix: 'bus_', schema: 'messaging' },
      queue: { redis: 'redis://cache', prefix: 'shop' },
      queues: { mail: { concurrency: 5, limiter: { max: 10, duration: '1s' } } },
      relay: { enabled: false, pollInterval: 250, batchSize: 10 },
      rescue: { after: '2m', interval: '1.5s' },
      workers: { queues: ['mail'], lockDuration: '1m', pollInterval: '2s' },
      defaults: { attempts: 9, backoff: '2s', timeout: 0, priority: 1 },
      standalone: 'allow',
      maxDataBytes: 10,
      maxInlineBytes: 0,
      maxErrorBytes: 256,
      shutdownTimeout: '30s',
    };
    const { handlers, ...rest } = resolveOptions(options);
    expect(rest).toMatchObject({
      namespace: 'shop-1',
      tables: { prefix: 'bus_', schema: 'messaging' },
      queue: { redis: 'redis://cache', prefix: 'shop' },
      relay: { enabled: false, pollIntervalMs: 250, batchSize: 10 },
      rescue: { afterMs: 120_000, intervalMs: 1_500 },
      workers: [
        {
          queue: 'mail',
          concurrency: 5,
          limiter: { max: 10, duration: 1_000 },
          lockDurationMs: 60_000,
          pollIntervalMs: 2_000,
        },
      ],
      standalone: 'allow',
      maxDataBytes: 10,
      maxInlineBytes: 0,
      maxErrorBytes: 256,
      shutdownTimeoutMs: 30_000,
    });
    expect(handlers).toMatchObject({
      attempts: 9,
      timeoutMs: 0,
      priority: 1,
      queues: [
        { queue: 'default', concurrency: 50, limiter: undefined },
        { queue: 'mail', concurrency: 5, limiter: { max: 10, duration: 1_000 } },
      ],
    });
    expect(handlers.delayAfter(4, undefined)).toBe(2_000);
  });

  it('leave a process without workers nothing to work, and one with all queues all of them', () => {
    const queues = { mail: {}, default: { concurrency: 2 } };
    expect(resolveOptions({ queues, workers: { enabled: false } }).workers).toEqual([]);
    expect(resolveOptions({ queues }).workers).toMatchObject([
      { queue: 'default', concurrency: 2 },
      { queue: 'mail', concurrency: 50 },
    ]);
    const twice = { queues: ['mail', 'mail'] };
    expect(resolveOptions({ queues, workers: twice }).workers).toHaveLength(1);
  });
});

describe('unknown options', () => {
  it.each([
    ['relais', { relais: { batchSize: 1 } }, 'relay'],
    ['dataSorce', { dataSorce: 'default' }, 'dataSource'],
    ['tables.prefx', { tables: { prefx: 'a_' } }, 'prefix'],
    ['queue.postgress', { queue: { postgress: 'postgres://db' } }, 'postgres'],
    ['queues.mail.concurency', { queues: { mail: { concurency: 1 } } }, 'concurrency'],
    [
      'queues.mail.limiter.maks',
      { queues: { mail: { limiter: { maks: 1, duration: 1 } } } },
      'max',
    ],
    ['relay.poll', { relay: { poll: '1s' } }, 'pollInterval'],
    ['rescue.afer', { rescue: { afer: '1s' } }, 'after'],
    ['workers.queue', { workers: { queue: ['mail'] } }, 'queues'],
    ['defaults.atempts', { defaults: { atempts: 3 } }, 'attempts'],
    [
      'defaults.backoff.jiter',
      { defaults: { backoff: { type: 'fixed', delay: 1, jiter: 0.5 } } },
      'jitter',
    ],
  ])('%s is refused with its value and the nearest name', (option, options, nearest) => {
    const error = refusalOf(options);
    expect(error.option).toBe(option);
    expect(error.message).toContain(`option "${option}" is unknown (its value is `);
    expect(error.message).toContain(`did you mean "${nearest}"?`);
  });

  it('are refused with all names where none is near', () => {
    expect(refusalOf({ rescue: { banana: 1 } }).message).toBe(
      'EventsModule: option "rescue.banana" is unknown (its value is 1); known are: after, interval.',
    );
  });
});

describe('wrong values', () => {
  it.each<[option: string, options: unknown, shown: string]>([
    ['options', null, 'null'],
    ['options', undefined, 'undefined'],
    ['options', [], '[]'],
    ['namespace', { namespace: '' }, '""'],
    ['namespace', { namespace: 'a.b' }, '"a.b"'],
    ['namespace', { namespace: 'x'.repeat(51) }, 'x'.repeat(51)],
    ['namespace', { namespace: 5 }, '5'],
    ['tables', { tables: 'bus_' }, '"bus_"'],
    ['migrate', { migrate: 'yes' }, '"yes"'],
    ['queue', { queue: 'redis://cache' }, '"redis://cache"'],
    ['queue', { queue: null }, 'null'],
    ['queue.redis', { queue: { redis: '' } }, '""'],
    ['queue.redis', { queue: { redis: 6379 } }, '6379'],
    ['queue.postgres', { queue: { postgres: null } }, 'null'],
    ['queue.postgres', { queue: { postgres: true } }, 'true'],
    [
      'queue.postgres',
      { queue: { postgres: 'mysql://db' } },
      '"mysql://db"; use an address that begins with postgres://',
    ],
    [
      'queue.postgres',
      { queue: { postgres: 'MariaDB://db' } },
      '"MariaDB://db"; use an address that begins with postgres://',
    ],
    [
      'queue.postgres.connectionString',
      { queue: { postgres: { connectionString: 'mysql://a:secret@db' } } },
      '"mysql://***@db"; use',
    ],
    [
      'queue.redis',
      { queue: { redis: 'postgres://db' } },
      '"postgres://db"; use an address that begins with redis://',
    ],
    ['queue.redis', { queue: { redis: 'https://cache' } }, '"https://cache"; use'],
    ['queue.prefix', { queue: { redis: 'redis://cache', prefix: 1 } }, '1'],
    ['queue.prefix', { queue: { postgres: 'postgres://db', prefix: 'a' } }, '"a"'],
    ['queues', { queues: ['mail'] }, '["mail"]'],
    ['queues.a b', { queues: { 'a b': {} } }, '"a b"'],
    ['queues.mail', { queues: { mail: 5 } }, '5'],
    ['queues.mail', { queues: { mail: null } }, 'null'],
    ['queues.mail.concurrency', { queues: { mail: { concurrency: 0 } } }, '0'],
    ['queues.mail.concurrency', { queues: { mail: { concurrency: 1.5 } } }, '1.5'],
    ['queues.mail.limiter', { queues: { mail: { limiter: 5 } } }, '5'],
    ['queues.mail.limiter.max', { queues: { mail: { limiter: { duration: 1 } } } }, 'undefined'],
    [
      'queues.mail.limiter.duration',
      { queues: { mail: { limiter: { max: 1, duration: 'soon' } } } },
      '"soon"',
    ],
    ['relay', { relay: true }, 'true'],
    ['relay.enabled', { relay: { enabled: 1 } }, '1'],
    ['relay.pollInterval', { relay: { pollInterval: '5 minutes' } }, '"5 minutes"'],
    ['relay.pollInterval', { relay: { pollInterval: 0 } }, '0'],
    ['relay.pollInterval', { relay: { pollInterval: '30d' } }, '"30d"'],
    ['relay.batchSize', { relay: { batchSize: 10_001 } }, '10001'],
    ['rescue.after', { rescue: { after: -1 } }, '-1'],
    ['rescue.interval', { rescue: { interval: 1 } }, '1'],
    ['workers.enabled', { workers: { enabled: 'false' } }, '"false"'],
    ['workers.queues', { workers: { queues: 'default' } }, '"default"'],
    ['workers.queues', { workers: { queues: 3 } }, '3'],
    ['workers.queues', { workers: { queues: ['mial'] }, queues: { mail: {} } }, '"mial"'],
    ['workers.lockDuration', { workers: { lockDuration: 10 } }, '10'],
    ['workers.pollInterval', { workers: { pollInterval: 'x' } }, '"x"'],
    ['defaults.attempts', { defaults: { attempts: 0 } }, '0'],
    ['defaults.attempts', { defaults: { attempts: '5' } }, '"5"'],
    ['defaults.backoff', { defaults: { backoff: { type: 'linear', delay: 1 } } }, 'linear'],
    ['defaults.backoff', { defaults: { backoff: 'slowly' } }, '"slowly"'],
    [
      'defaults.backoff',
      { defaults: { backoff: { type: 'fixed', delay: 1, jitter: 2 } } },
      '"jitter":2',
    ],
    ['defaults.timeout', { defaults: { timeout: 'long' } }, '"long"'],
    ['defaults.priority', { defaults: { priority: 0 } }, '0'],
    ['transaction', { transaction: {} }, '{}'],
    ['standalone', { standalone: 'maybe' }, '"maybe"'],
    ['standalone', { standalone: () => 'allow' }, 'a function'],
    ['maxDataBytes', { maxDataBytes: '1MB' }, '"1MB"'],
    ['maxInlineBytes', { maxInlineBytes: -1 }, '-1'],
    ['maxErrorBytes', { maxErrorBytes: 10 }, '10'],
    ['maxErrorBytes', { maxErrorBytes: 65_537 }, '65537'],
    ['shutdownTimeout', { shutdownTimeout: Number.NaN }, 'null'],
  ])('%s of %j is refused with its value', (option, options, shown) => {
    const error = refusalOf(options);
    expect(error.option).toBe(option);
    expect(error.message).toContain(`"${option}" is `);
    expect(error.message).toContain(shown);
  });

  it('of a queue are refused although this process does not work it', () => {
    const queues = { mail: { concurrency: -5 } };
    expect(refusalOf({ queues, workers: { enabled: false } }).option).toBe(
      'queues.mail.concurrency',
    );
    expect(refusalOf({ queues, workers: { queues: ['default'] } }).option).toBe(
      'queues.mail.concurrency',
    );
  });

  it('of a queue name come with the nearest name', () => {
    const error = refusalOf({ queues: { mail: {} }, workers: { queues: ['mial'] } });
    expect(error.message).toContain('did you mean "mail"?');
  });

  it.each([
    { redis: 'rediss://cache' },
    { redis: 'cache:6379' },
    { redis: '/run/redis.sock' },
    { postgres: 'postgresql://db/app' },
    { postgres: '/run/postgresql app' },
    { postgres: { host: 'db' } },
  ])('of the queue may be any address that the driver takes: %j', (queue) => {
    expect(resolveOptions({ queue }).queue).toEqual(queue);
  });

  it('of the queue need exactly one target, and ask for the variable behind it', () => {
    for (const queue of [{}, { redis: undefined }, { redis: 'redis://a', postgres: 'pg://b' }]) {
      const error = refusalOf({ queue });
      expect(error.option).toBe('queue');
      expect(error.message).toContain('either "redis" or "postgres"');
    }
  });

  it('that refer to themselves are shown too', () => {
    const dataSource = new DataSource({ type: 'postgres' });
    const error = refusalOf({ datasource: dataSource });
    expect(error.message).toContain('"datasource" is unknown (its value is DataSource');
    expect(error.message).toContain('did you mean "dataSource"?');
    const redis = new Redis({ lazyConnect: true });
    expect(refusalOf({ redis }).option).toBe('redis');
    const circular: Record<string, unknown> = {};
    circular['self'] = circular;
    expect(refusalOf({ namespace: circular }).option).toBe('namespace');
  });

  it('B7: are shown without credentials', () => {
    const url = 'redis://user:hunter2@cache:6379/0';
    for (const options of [
      { queue: url },
      { quue: { redis: url } },
      { quue: { redis: `${url}?${'x'.repeat(100)}` } },
      { quue: { redis: { host: 'cache', password: 'hunter2' } } },
      { quue: { redis: { host: 'x'.repeat(40), username: 'someone', password: 'hunter2' } } },
      { namespace: 'redis://user:p@hunter2@cache' },
    ]) {
      expect(refusalOf(options).message).not.toContain('hunter2');
    }
  });

  it('that JSON does not have are shown too', () => {
    expect(refusalOf({ maxDataBytes: 10n }).message).toContain('is 10n');
  });

  it('that are long are cut', () => {
    expect(refusalOf({ namespace: 'x'.repeat(10_000) }).message.length).toBeLessThan(300);
  });
});

it.each(['mysql', 'mariadb', 'MySQL'])(
  'a queue on "PostgreSQL" at a %s:// is refused at once, without its password',
  (scheme) => {
    const error = refusalOf({ queue: { postgres: `${scheme}://root:hunter2@db/shop` } });
    expect(error.message).toMatch(/"queue.postgres".*postgres:\/\//);
    expect(error.message).not.toContain('hunter2');
  },
);

it.each(['postgres://db/shop', 'postgresql://db/shop', '/var/run/postgresql shop'])(
  'a queue on PostgreSQL at %s is taken',
  (postgres) => {
    expect(resolveOptions({ queue: { postgres } }).queue).toEqual({ postgres });
  },
);
