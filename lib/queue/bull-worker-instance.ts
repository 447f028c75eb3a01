import { pause, settleWithin } from '../common/time-limit.js';
import type {
  BullBackend,
  BullProcessor,
  BullWorkerSettings,
  ConnectedWorker,
} from './bull-backend.js';
import { RetryJob } from './event-queue.js';
import { LEFT_BEHIND_MS } from './job-gate.js';

/** Between the end of BullMQ's loop, which nobody asked for, and its next start. */
const RESTART_MS = 1_000;

/** Protected in BullMQ's class; nothing public ends these timers of a worker that can't close. */
interface BullWorkerTimers {
  readonly lockManager?: { close(): Promise<void> };
  readonly stalledCheckStopper?: () => void;
}

interface InstanceParts {
  readonly backend: BullBackend;
  readonly name: string;
  readonly settings: BullWorkerSettings;
  readonly process: BullProcessor;
  readonly onActive: () => void;
  readonly onError: (error: unknown) => void;
}

/** One BullMQ worker with connections of its own, from its start to its end. */
export class BullWorkerInstance {
  private readonly connected: ConnectedWorker;
  private readonly closing = new AbortController();
  private paused = false;
  private looping = false;
  /** Of each job that it runs: ends it for the queue. */
  private readonly running = new Set<(reason: RetryJob) => void>();
  private onIdle: (() => void) | undefined;

  constructor(private readonly parts: InstanceParts) {
    const { backend, name, settings, onActive, onError } = parts;
    this.connected = backend.createWorker(name, (job) => this.process(job), settings);
    const { worker } = this.connected;
    worker.on('error', onError);
    worker.on('active', onActive);
    // BullMQ's resume() calls it, and does not listen for its failure.
    const run = worker.run.bind(worker);
    worker.run = () => this.loop(run);
  }

  /** Resolves when it can take jobs; it takes none before {@link resume}. */
  ready(): Promise<void> {
    return this.connected.worker.waitUntilReady();
  }

  /** Takes no more jobs; running ones go on, and their locks are renewed. */
  pause(): void {
    this.paused = true;
    // A worker that was never resumed would not learn from BullMQ that it may run.
    if (this.looping) this.connected.worker.pause(true).catch(this.parts.onError);
  }

  /** Starts taking jobs, also for the first time. */
  resume(): void {
    this.paused = false;
    this.connected.worker.resume().catch(this.parts.onError);
  }

  /** Resolves when none of its jobs runs, or when it is closed. */
  async idle(): Promise<void> {
    if (this.running.size === 0 || this.closing.signal.aborted) return;
    await new Promise<void>((resolve) => {
      this.onIdle = resolve;
      this.closing.signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  /**
   * Waits for the running jobs, at most `graceMs`; then leaves them behind, within `forceMs`. Never
   * rejects; may be called again with less time.
   */
  async close(graceMs: number, forceMs: number): Promise<void> {
    this.closing.abort();
    const closed = this.connected.worker.close();
    if (!(await settleWithin(closed, graceMs))) {
      for (const leave of this.running) leave(new RetryJob(LEFT_BEHIND_MS));
      if (!(await settleWithin(closed, forceMs / 2))) await this.cutOff(forceMs / 2);
    }
    this.connected.drop();
  }

  /**
   * For a worker that can't reach its queue: a close that has begun waits even if it is forced now.
   * Jobs that still run keep their lock until it expires; another worker then takes them.
   */
  async cutOff(limitMs: number): Promise<void> {
    this.closing.abort();
    const { worker } = this.connected;
    const { lockManager, stalledCheckStopper } = worker as unknown as BullWorkerTimers;
    stalledCheckStopper?.();
    await lockManager?.close();
    await settleWithin(Promise.all([worker.close(true), worker.disconnect()]), limitMs);
    this.connected.drop();
  }

  /** Keeps BullMQ's loop going until it is paused or closed. Never rejects. */
  private async loop(run: () => Promise<void>): Promise<void> {
    if (this.looping) return;
    this.looping = true;
    while (!this.paused && !this.closing.signal.aborted) {
      try {
        await run();
      } catch (error) {
        this.parts.onError(error);
      }
      // A resume in the moment in which a paused loop ends is lost on BullMQ.
      if (!this.paused) await pause(RESTART_MS, this.closing.signal);
    }
    this.looping = false;
  }

  private process(job: Parameters<BullProcessor>[0]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.running.add(reject);
      this.parts
        .process(job)
        .then(resolve, reject)
        .finally(() => {
          this.running.delete(reject);
          if (this.running.size === 0) this.onIdle?.();
        });
    });
  }
}
