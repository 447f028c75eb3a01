import { AsyncLocalStorage } from 'node:async_hooks';
import { pause, withTimeLimit } from '../common/time-limit.js';
import type { Signals } from '../observability/signals.js';
import type { Backlog } from './backlog.js';
import type { BullBackend, BullJob } from './bull-backend.js';
import { BullWorkerInstance } from './bull-worker-instance.js';
import { workerSettings } from './bull-worker-settings.js';
import { RetryJob, type ProcessJob, type QueueWorker, type WorkOptions } from './event-queue.js';
import { JobGate, LEFT_BEHIND_MS } from './job-gate.js';
import { keepsLock } from './job-lock.js';
import type { QueueHealth } from './queue-health.js';
import { WorkerWatchdog, type WatchdogTimes } from './worker-watchdog.js';

const READY_LIMIT_MS = 10_000;
const RECONNECT_MS = 1_000;
const FORCE_LIMIT_MS = 1_000;
/** What a worker that was replaced gets to acknowledge its last jobs; a dead connection can't. */
const RETIRE_LIMIT_MS = 10_000;

interface QueueWorkerParts {
  readonly backend: BullBackend;
  readonly health: QueueHealth;
  readonly signals: Signals;
  /** BullMQ's name of the queue. */
  readonly name: string;
  readonly options: WorkOptions;
  readonly process: ProcessJob;
  readonly backlog: () => Promise<Backlog>;
  readonly watchdog: WatchdogTimes;
}

/**
 * Works a queue, from as soon as its backend can be reached: a BullMQ worker made during an outage
 * remembers its failed start for ever (D14), so none is made before. One that falls silent is
 * replaced (D13).
 */
export class BullQueueWorker implements QueueWorker {
  private readonly stopping = new AbortController();
  /** Its own context, so that no handler inherits one from whoever pauses or resumes. */
  private readonly inContext = AsyncLocalStorage.snapshot();
  private readonly gate: JobGate;
  private readonly watchdog: WorkerWatchdog;
  /** All that are not closed yet: the current one, and those it has replaced. */
  private readonly instances = new Set<BullWorkerInstance>();
  private current: BullWorkerInstance | undefined;
  private paused = false;
  private taken = 0;
  /** When it last took a job, or became able to. */
  private activeAt = 0;

  constructor(private readonly parts: QueueWorkerParts) {
    this.gate = new JobGate(parts.options.concurrency);
    this.watchdog = new WorkerWatchdog(
      {
        silentSince: () =>
          this.current === undefined || this.paused || this.gate.isFull ? undefined : this.activeAt,
        jobsTaken: () => this.taken,
        backlog: parts.backlog,
        recreate: (silentMs) => this.recreate(silentMs),
      },
      parts.watchdog,
    );
    this.inContext(() => {
      void this.start();
      this.watchdog.start();
    });
  }

  pause(): void {
    this.paused = true;
    this.gate.pause();
    this.current?.pause();
  }

  resume(): void {
    if (!this.paused || this.stopping.signal.aborted) return;
    this.paused = false;
    this.activeAt = performance.now();
    this.inContext(() => {
      this.gate.resume();
      this.current?.resume();
    });
  }

  async close(graceMs: number, forceMs: number): Promise<void> {
    this.stopping.abort();
    this.watchdog.stop();
    this.gate.close();
    await Promise.all([...this.instances].map((each) => each.close(graceMs, forceMs)));
  }

  private async start(): Promise<void> {
    const { backend, health } = this.parts;
    while (!this.stopping.signal.aborted) {
      let instance: BullWorkerInstance | undefined;
      try {
        await backend.connect();
        if (this.stopping.signal.aborted) return;
        instance = this.create();
        const limit = () => new Error('worker start timed out');
        await withTimeLimit(instance.ready(), READY_LIMIT_MS, limit);
        health.up();
        this.current = instance;
        this.activeAt = performance.now();
        if (!this.paused) instance.resume();
        return;
      } catch (error) {
        if (!this.stopping.signal.aborted) health.down(error);
        if (instance !== undefined) {
          await instance.cutOff(FORCE_LIMIT_MS);
          this.instances.delete(instance);
        }
        await pause(RECONNECT_MS, this.stopping.signal);
      }
    }
  }

  /** The silent one ends in the background: its running handlers may end as they would have. */
  private recreate(silentMs: number): void {
    const silent = this.current;
    if (silent === undefined || this.stopping.signal.aborted) return;
    this.current = undefined;
    this.parts.signals.publish('worker.recreated', {
      queue: this.parts.options.queue,
      silentMs,
    });
    void this.start();
    void this.retire(silent);
  }

  private async retire(instance: BullWorkerInstance): Promise<void> {
    instance.pause();
    await instance.idle();
    await instance.close(RETIRE_LIMIT_MS, FORCE_LIMIT_MS);
    this.instances.delete(instance);
  }

  private create(): BullWorkerInstance {
    const { backend, name, health, options } = this.parts;
    const instance = new BullWorkerInstance({
      backend,
      name,
      settings: workerSettings(options),
      process: (job) => this.process(job),
      onActive: () => this.onActive(),
      onError: (error) => health.report(options.queue, error),
    });
    this.instances.add(instance);
    return instance;
  }

  private process(job: BullJob): Promise<void> {
    const { queue, lockDurationMs } = this.parts.options;
    const came = performance.now();
    return this.gate.run(async () => {
      const waited = performance.now() - came;
      if (waited >= lockDurationMs && !(await keepsLock(job, lockDurationMs))) {
        throw new RetryJob(LEFT_BEHIND_MS);
      }
      const { data, attemptsMade, opts } = job;
      return this.parts.process({
        data,
        queue,
        priority: opts.priority,
        earlierRuns: attemptsMade,
        crowded: this.gate.isFull,
      });
    });
  }

  private onActive(): void {
    this.taken++;
    this.activeAt = performance.now();
    this.parts.health.up();
  }
}
