import type { Backlog } from './backlog.js';

export interface WatchdogTimes {
  /** A worker that could take jobs but took none for this long is looked at. */
  readonly silentMs: number;
  /** Between two looks at the worker (which cost nothing). */
  readonly checkMs: number;
  /** Between two questions to an empty queue: one query each, so 6 a minute. */
  readonly emptyMs: number;
  /** Between two questions to a queue that holds its jobs back: these cost a few queries. */
  readonly heldMs: number;
}

export const WATCHDOG_TIMES: WatchdogTimes = {
  silentMs: 15_000,
  checkMs: 5_000,
  emptyMs: 10_000,
  heldMs: 30_000,
};

/** A worker that stays silent is recreated ever more rarely: up to 2^this times `silentMs`. */
const MAX_DOUBLINGS = 4;

/** What is watched. */
export interface WatchedWorker {
  /**
   * Since when (`performance.now()`) the worker could have taken a job but took none; undefined: it
   * can't take any (paused, starting, all its slots are taken).
   */
  silentSince(): number | undefined;
  /** How many jobs it has ever taken. */
  jobsTaken(): number;
  backlog(): Promise<Backlog>;
  recreate(silentMs: number): void;
}

/**
 * Finds a worker that is silent although jobs wait, whatever the reason: a connection that only seems
 * to be open, a wait that BullMQ lost in a reconnect (D13). A worker whose queue is empty costs one
 * query every 10 s, a busy one nothing.
 */
export class WorkerWatchdog {
  private timer: NodeJS.Timeout | undefined;
  private askAt = 0;
  /** {@link WatchedWorker.silentSince} of a check that saw jobs wait. */
  private suspectedSince: number | undefined;
  /** Recreations since the last job. */
  private recreated = 0;
  private takenThen = 0;

  constructor(
    private readonly watched: WatchedWorker,
    private readonly times: WatchdogTimes,
  ) {}

  start(): void {
    this.timer ??= setTimeout(() => void this.checkAndGoOn(), this.times.checkMs);
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private async checkAndGoOn(): Promise<void> {
    const { timer } = this;
    try {
      await this.check();
    } catch {
      // The queue could not be asked: that tells nothing about the worker.
      this.suspectedSince = undefined;
    }
    if (this.timer !== timer) return;
    this.timer = undefined;
    this.start();
  }

  private async check(): Promise<void> {
    const now = performance.now();
    const since = this.silentFor(now);
    if (since === undefined || now < this.askAt) return;
    const backlog = await this.watched.backlog();
    if (backlog !== 'runnable') {
      this.suspectedSince = undefined;
      this.askAt = now + (backlog === 'empty' ? this.times.emptyMs : this.times.heldMs);
      return;
    }
    // Jobs may have come this very moment: only what is seen twice counts.
    if (this.suspectedSince !== since) {
      this.suspectedSince = since;
      return;
    }
    if (this.watched.silentSince() !== since) return;
    this.suspectedSince = undefined;
    this.recreated++;
    this.takenThen = this.watched.jobsTaken();
    this.watched.recreate(Math.round(performance.now() - since));
  }

  /** Since when it has been silent, if that is long enough to ask. */
  private silentFor(now: number): number | undefined {
    if (this.watched.jobsTaken() !== this.takenThen) this.recreated = 0;
    const since = this.watched.silentSince();
    const limit = this.times.silentMs * 2 ** Math.min(this.recreated, MAX_DOUBLINGS);
    return since !== undefined && now - since >= limit ? since : undefined;
  }
}
