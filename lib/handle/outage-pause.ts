import { pause } from '../common/time-limit.js';
import type { Signals } from '../observability/signals.js';

export interface OutageTimes {
  /** How long the first pause lasts before the database is asked; doubles up to `maxMs`. */
  readonly firstMs: number;
  readonly maxMs: number;
  /**
   * An outage this soon after a resume is the same one: the database answers, but can't be worked
   * with (a revoked grant, a full disk). The pauses go on growing.
   */
  readonly sameOutageMs: number;
  /** For an answer of the database. */
  readonly answerLimitMs: number;
}

export const OUTAGE_TIMES: OutageTimes = {
  firstMs: 500,
  maxMs: 10_000,
  sameOutageMs: 5_000,
  answerLimitMs: 5_000,
};

/** Each unanswered question may hold one of the application's connections. */
const MAX_UNANSWERED = 3;

interface Pausable {
  pause(): void;
  resume(): void;
}

/**
 * Pauses the workers while the database can't be used: a queue full of deliveries would be postponed
 * one by one, again and again (C12).
 */
export class OutagePause {
  private readonly stopping = new AbortController();
  private active = false;
  /** Pauses of this outage so far. */
  private pauses = 0;
  private resumedAt = Number.NEGATIVE_INFINITY;
  private unanswered = 0;

  constructor(
    private readonly workers: Pausable,
    private readonly ping: () => Promise<unknown>,
    private readonly signals: Signals,
    private readonly times: OutageTimes = OUTAGE_TIMES,
  ) {}

  /** A delivery failed for the database's sake. Never throws. */
  report(error: unknown): void {
    if (this.active || this.stopping.signal.aborted) return;
    this.active = true;
    const pausedAt = performance.now();
    if (pausedAt - this.resumedAt > this.times.sameOutageMs) this.pauses = 0;
    this.workers.pause();
    this.signals.publish('workers.paused', { error });
    void this.resumeWhenBack(pausedAt);
  }

  /** Leaves the workers as they are. */
  stop(): void {
    this.stopping.abort();
  }

  private async resumeWhenBack(pausedAt: number): Promise<void> {
    const { signal } = this.stopping;
    do {
      await pause(withJitter(pauseMs(this.pauses++, this.times)), signal);
    } while (!signal.aborted && !(await this.answers()));
    if (signal.aborted) return;
    this.active = false;
    this.resumedAt = performance.now();
    this.workers.resume();
    this.signals.publish('workers.resumed', { pausedMs: Math.round(this.resumedAt - pausedAt) });
  }

  private async answers(): Promise<boolean> {
    if (this.unanswered >= MAX_UNANSWERED) return false;
    const answered = new AbortController();
    const over = AbortSignal.any([this.stopping.signal, answered.signal]);
    try {
      return await Promise.race([
        this.ask(),
        pause(this.times.answerLimitMs, over).then(() => false),
      ]);
    } finally {
      answered.abort();
    }
  }

  private async ask(): Promise<boolean> {
    this.unanswered++;
    try {
      await this.ping();
      return true;
    } catch {
      return false;
    } finally {
      this.unanswered--;
    }
  }
}

/** @param pauses how many there were already in this outage */
export function pauseMs(pauses: number, { firstMs, maxMs }: OutageTimes): number {
  return Math.min(firstMs * 2 ** Math.min(pauses, 30), maxMs);
}

/** Longer, never shorter: processes that fail together must not come back together. */
function withJitter(ms: number): number {
  return ms * (1 + Math.random() / 4);
}
