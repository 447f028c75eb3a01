import type { JobsOptions, WorkerOptions } from 'bullmq';
import type { DeliveryJobData } from './event-queue.js';

/** What is used of BullMQ's `Queue`. */
export interface BullQueue {
  addBulk(
    jobs: { name: string; data: DeliveryJobData; opts: JobsOptions }[],
  ): Promise<readonly unknown[]>;
  close(): Promise<void>;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

/** What is used of BullMQ's `Worker`. */
export interface BullWorker {
  run(): Promise<void>;
  waitUntilReady(): Promise<void>;
  close(force?: boolean): Promise<void>;
  disconnect(): Promise<void>;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'active', listener: () => void): unknown;
}

export type BullProcessor = (job: {
  data: DeliveryJobData;
  /** Earlier runs that ended in a retry. */
  attemptsMade: number;
}) => Promise<void>;
export type BullWorkerSettings = Omit<WorkerOptions, 'connection' | 'prefix'>;

/** What differs between BullMQ on Redis and on PostgreSQL: connections. */
export interface BullBackend {
  /** `Redis at host:port` or `PostgreSQL at host:port/database`. */
  readonly description: string;
  /** Resolves once the backend answers; rejects within a few seconds if it does not. */
  connect(): Promise<void>;
  createQueue(name: string): BullQueue;
  createWorker(name: string, process: BullProcessor, settings: BullWorkerSettings): BullWorker;
  /** Drops all connections at once. */
  disconnect(): Promise<void>;
}
