import type { JobsOptions, WorkerOptions } from 'bullmq';
import type { DeliveryJobData } from './event-queue.js';

/** What is used of BullMQ's `Queue`. */
export interface BullQueue {
  addBulk(
    jobs: { name: string; data: DeliveryJobData; opts: JobsOptions }[],
  ): Promise<readonly unknown[]>;
  isPaused(): Promise<boolean>;
  /** Whether as many jobs run everywhere as the queue's global concurrency allows. */
  isMaxed(): Promise<boolean>;
  /** For how many more ms a limit of `maxJobs` holds jobs back; not above 0: it does not. */
  getRateLimitTtl(maxJobs: number): Promise<number>;
  getBackend(): BullQueueBackend;
  close(): Promise<void>;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

/** What is used of BullMQ's own abstraction over Redis and PostgreSQL. */
export interface BullQueueBackend {
  getQueueMetaField(field: string): Promise<string | null>;
  setQueueMeta(values: Record<string, string>): Promise<unknown>;
  /** @param delayedBefore in ms since 1970: counts only delayed jobs that are due before */
  getCounts(
    types: ('waiting' | 'prioritized' | 'delayed')[],
    delayedBefore?: number,
  ): Promise<number[]>;
}

/** What is used of BullMQ's `Worker`. */
export interface BullWorker {
  run(): Promise<void>;
  pause(doNotWaitActive: boolean): Promise<void>;
  resume(): Promise<void>;
  waitUntilReady(): Promise<void>;
  close(force?: boolean): Promise<void>;
  disconnect(): Promise<void>;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'active', listener: () => void): unknown;
}

export interface ConnectedWorker {
  readonly worker: BullWorker;
  /** Drops the worker's connections at once: BullMQ leaves those open that it was given. */
  drop(): void;
}

/** What is used of BullMQ's `Job`. */
export interface BullJob {
  readonly data: DeliveryJobData;
  /** Earlier runs that ended in a retry. */
  readonly attemptsMade: number;
  readonly opts: { readonly priority?: number };
  /** Of its lock; a worker sets it before it hands the job over. */
  readonly token?: string;
  /** Resolves to 0 if the lock is not the token's any more. */
  extendLock(token: string, durationMs: number): Promise<number>;
}

export type BullProcessor = (job: BullJob) => Promise<void>;
export type BullWorkerSettings = Omit<WorkerOptions, 'connection' | 'prefix'>;

/** What differs between BullMQ on Redis and on PostgreSQL: connections. */
export interface BullBackend {
  /** `Redis at host:port` or `PostgreSQL at host:port/database`. */
  readonly description: string;
  /** How often to look for the queue's generation mark, in ms. */
  readonly watchIntervalMs: number;
  /** Resolves once the backend answers; rejects within a few seconds if it does not. */
  connect(): Promise<void>;
  createQueue(name: string): BullQueue;
  /** On connections that nobody has used before. */
  createWorker(name: string, process: BullProcessor, settings: BullWorkerSettings): ConnectedWorker;
  /**
   * A command sent at `since` (`performance.now()`) failed: it may have gone into a connection that
   * only seems to be open. The next {@link connect} uses none that is as old.
   */
  distrust(since: number): void;
  /** Drops all connections at once. */
  disconnect(): Promise<void>;
}
