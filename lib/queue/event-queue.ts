import type { LoggedEvent } from '../store/event-store.js';

/** What a job carries: deliveries of one handler. */
export interface DeliveryJobData {
  readonly handler: string;
  /** What the deliveries have in common in the database; left out where there is one only. */
  readonly chunk?: number;
  readonly deliveries: readonly JobDelivery[];
}

export interface JobDelivery {
  readonly position: number;
  readonly epoch: number;
  /** Left out where it is large; the worker then reads it from the log. */
  readonly event?: LoggedEvent;
  /** Only where the job was made by the relay pass itself, for this delivery alone. */
  readonly fresh?: FreshDelivery;
}

/** What a worker need not ask the database about a delivery that has just been made. */
export interface FreshDelivery {
  /** Which process has made it, by `THIS_PROCESS`. */
  readonly by: string;
  /** Just before it was made, by that process's `performance.now()`. */
  readonly since: number;
  readonly maxAttempts: number;
}

export interface DeliveryJob {
  /** Job id: the same for every push of a delivery in one epoch. */
  readonly id: string;
  /** The queue's name in the options. */
  readonly queue: string;
  /** 1 (first) to 2,097,151; undefined: first come, first served. */
  readonly priority: number | undefined;
  /** Run it this much later than now, in ms; undefined: at once. */
  readonly delayMs?: number;
  readonly data: DeliveryJobData;
}

/** How a queue is worked. */
export interface WorkOptions {
  readonly queue: string;
  /** Jobs at once in this process. */
  readonly concurrency: number;
  /** At most `max` jobs per `duration` ms over all processes. */
  readonly limiter: { max: number; duration: number } | undefined;
  /** How long a dead worker's job stays locked, in ms. */
  readonly lockDurationMs: number;
  /** How long an idle worker waits for a wake-up before it looks by itself, in ms. */
  readonly pollIntervalMs: number;
}

/** A job that is run. */
export interface TakenJob {
  readonly data: DeliveryJobData;
  /** As in {@link DeliveryJob}. */
  readonly queue: string;
  readonly priority: number | undefined;
  /** How often it was to be run again already. */
  readonly earlierRuns: number;
  /** The worker runs as many as it may: no other job comes before one ends. */
  readonly crowded?: boolean;
}

/** Resolve: the job is done with. Throw {@link RetryJob}: run it again later. */
export type ProcessJob = (job: TakenJob) => Promise<void>;

/** Thrown by a {@link ProcessJob}: not an error to report, only "again, in `delayMs`". */
export class RetryJob extends Error {
  constructor(readonly delayMs: number) {
    super('to be tried again; the reason is in the delivery');
    this.name = 'RetryJob';
    // BullMQ stores stacks with the job; this one tells nothing.
    delete this.stack;
  }
}

export interface QueueWorker {
  /** Takes no new jobs until {@link resume}; running ones go on. Idempotent. */
  pause(): void;
  /** Idempotent. */
  resume(): void;
  /**
   * Takes no new jobs and waits for the running ones, at most `graceMs`; then leaves them behind,
   * which takes at most `forceMs`.
   */
  close(graceMs: number, forceMs: number): Promise<void>;
}

/** The queue, as the rest of the library sees it: BullMQ on Redis or on PostgreSQL. */
export interface EventQueue {
  /** Type and place for logs, without credentials: `BullMQ on Redis at localhost:6379`. */
  readonly description: string;
  /** How often to look for its generation mark, in ms: what a look costs differs. */
  readonly watchIntervalMs: number;
  /** Resolves if the queue can be used right now. @throws QueueUnavailableError soon, else */
  ready(): Promise<void>;
  /**
   * Adds jobs; an id that is waiting, delayed or running already is left as it is. May have added
   * a part when it rejects: push again. @throws QueueUnavailableError
   */
  push(jobs: readonly DeliveryJob[]): Promise<void>;
  /** Starts a worker; if the queue is out of reach, as soon as it is there. */
  work(options: WorkOptions, process: ProcessJob): QueueWorker;
  /**
   * The generation mark that was left in the queue; undefined where there is none: the queue is new,
   * or was wiped. @throws QueueUnavailableError
   */
  generation(): Promise<string | undefined>;
  /** Leaves a mark that lives as long as the queue's jobs. @throws QueueUnavailableError */
  mark(generation: string): Promise<void>;
  /** Disconnects, within `limitMs` even if the queue is out of reach. */
  close(limitMs: number): Promise<void>;
}
