import type { InjectionToken, ModuleMetadata, Type } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { Duration } from './common/duration.js';
import type { Standalone } from './emit/emit.options.js';
import type { Backoff } from './handle/handler.options.js';
import type { QueueTarget } from './queue/create-queue.js';

/** How a queue is worked. */
export interface QueueOptions {
  /** Handlers running at once, per process. Default 50. */
  concurrency?: number;
  /** At most `max` deliveries per `duration`, over all processes. Default: no limit. */
  limiter?: { max: number; duration: Duration };
}

export interface RelayOptions {
  /** Whether this process relays. Default true. */
  enabled?: boolean;
  /**
   * How often to look for events without having been woken. Commits wake the relay at once, in this
   * process and, through the queue's Redis or PostgreSQL, in others; this bounds the wait where a
   * wake-up was lost. Default `'1s'`.
   */
  pollInterval?: Duration;
  /** Events per relay transaction: more is faster, less holds the lock for shorter. Default 500. */
  batchSize?: number;
}

export interface RescueOptions {
  /**
   * A delivery that is not done after this long is pushed again, in case its job was lost. Does
   * nothing while the job exists in the handler's queue, so it may be shorter than handlers take.
   * Default `'1m'`.
   */
  after?: Duration;
  /** How often to look for such deliveries. Runs where the relay does. Default `'15s'`. */
  interval?: Duration;
}

export interface WorkersOptions {
  /** Whether this process runs handlers. Default true. */
  enabled?: boolean;
  /** Work only these queues here. Default: all of `queues`. */
  queues?: readonly string[];
  /**
   * How long the job of a worker that died stays locked before another one takes it. Locks of
   * living workers are renewed. Default `'30s'`.
   */
  lockDuration?: Duration;
  /**
   * How long an idle worker waits for a wake-up by the queue before it looks by itself. Shorten it
   * only where wake-ups don't arrive (PGlite has no LISTEN across connections). Default `'5s'`.
   */
  pollInterval?: Duration;
}

/** For handlers that don't say otherwise. */
export interface DefaultsOptions {
  /** Attempts before a delivery is a dead letter. Default 5. */
  attempts?: number;
  /** Default: exponential from 1 s, half of it left to chance, at most 1 h. */
  backoff?: Backoff;
  /** An attempt that takes longer is aborted and counts as failed; 0: no limit. Default `'30s'`. */
  timeout?: Duration;
  /** Lower is sooner. Default 50. */
  priority?: number;
}

/** Options of `EventsModule.forRoot()`. Every one has a default: `forRoot()` works on PostgreSQL. */
export interface EventsModuleOptions {
  /**
   * The TypeORM DataSource to save events through: its name as in `TypeOrmModule.forRoot({ name })`,
   * or any injection token. Default `'default'`.
   */
  dataSource?: InjectionToken;
  /** Separates several buses in one database. Letters, digits, `_`, `-`. Default `'default'`. */
  namespace?: string;
  /** Names of the library's tables. Default: prefix `events_`, the connection's search path. */
  tables?: { prefix?: string; schema?: string };
  /**
   * Create and update the library's tables (and BullMQ's in PostgreSQL) at boot. Default: true,
   * but false where NODE_ENV is `production`: there the boot checks, and stops if they are old.
   */
  migrate?: boolean;
  /** Where jobs go. Default: BullMQ on the DataSource's own PostgreSQL. */
  queue?: QueueTarget;
  /** Named queues. `default` always exists. */
  queues?: Record<string, QueueOptions>;
  relay?: RelayOptions;
  rescue?: RescueOptions;
  workers?: WorkersOptions;
  defaults?: DefaultsOptions;
  /** Returns the active transaction's manager, for a transaction manager this library doesn't know. */
  transaction?: () => EntityManager | undefined;
  /**
   * What `emit` does outside a transaction. `reject` (default): no dual write can happen by
   * accident. `allow`: it saves the event in a transaction of its own.
   */
  standalone?: Standalone;
  /** Cap of an event's data, and of its metadata, as JSON, in bytes. Default 262,144 (256 KiB). */
  maxDataBytes?: number;
  /**
   * Events up to this size travel in the job; larger ones are read from the log by the worker, to
   * spare the queue's memory. In bytes. Default 16,384 (16 KiB).
   */
  maxInlineBytes?: number;
  /**
   * Cap of a recorded error, in bytes; at most 65,536, since many are written in one statement. Default
   * 8,192 (8 KiB).
   */
  maxErrorBytes?: number;
  /** How long a shutdown waits for handlers that still run. Default `'10s'`. */
  shutdownTimeout?: Duration;
}

/** Makes the options, for `forRootAsync({ useClass | useExisting })`. */
export interface EventsOptionsFactory {
  createEventsOptions(): EventsModuleOptions | Promise<EventsModuleOptions>;
}

/** Options of `EventsModule.forRootAsync()`: one of `useFactory`, `useClass`, `useExisting`. */
export interface EventsModuleAsyncOptions extends Pick<ModuleMetadata, 'imports'> {
  /** As in {@link EventsModuleOptions}; it is needed before the factory runs. */
  dataSource?: InjectionToken;
  // `any`: the types of what is injected are between the user's list and function.
  // oxlint-disable-next-line typescript/no-explicit-any
  useFactory?: (...args: any[]) => Omitted | Promise<Omitted>;
  inject?: InjectionToken[];
  useClass?: Type<EventsOptionsFactory>;
  useExisting?: Type<EventsOptionsFactory>;
}

type Omitted = Omit<EventsModuleOptions, 'dataSource'>;

/** The defaults, all in one place. */
export const DEFAULTS = {
  dataSource: 'default',
  namespace: 'default',
  tables: { prefix: 'events_' },
  queue: { concurrency: 50 },
  relay: { enabled: true, pollInterval: '1s', batchSize: 500 },
  rescue: { after: '1m', interval: '15s' },
  workers: { enabled: true, lockDuration: '30s', pollInterval: '5s' },
  defaults: {
    attempts: 5,
    backoff: { type: 'exponential', delay: '1s', jitter: 0.5 },
    timeout: '30s',
    priority: 50,
  },
  standalone: 'reject',
  maxDataBytes: 256 * 1024,
  maxInlineBytes: 16 * 1024,
  maxErrorBytes: 8 * 1024,
  shutdownTimeout: '10s',
} as const;
