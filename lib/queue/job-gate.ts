import { RetryJob } from './event-queue.js';

/** When a job that is turned away may run elsewhere: this process has ended by then. */
export const LEFT_BEHIND_MS = 1_000;

interface Waiting {
  pass(): void;
  turnAway(reason: RetryJob): void;
}

/**
 * Every job passes it before it runs. BullMQ may hand over a job that it was fetching when it was
 * paused, and two of its workers overlap while one takes over from the other: neither may start
 * more than is allowed.
 */
export class JobGate {
  private readonly waiting: Waiting[] = [];
  private running = 0;
  private paused = false;
  private closed = false;

  /** @param limit jobs at once */
  constructor(private readonly limit: number) {}

  get isFull(): boolean {
    return this.running >= this.limit;
  }

  /** @throws RetryJob if it has closed before the job could start */
  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.enter();
    try {
      return await work();
    } finally {
      this.running--;
      this.admit();
    }
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    this.admit();
  }

  /** For good: turns away those that wait, and those that come. */
  close(): void {
    this.closed = true;
    for (const job of this.waiting.splice(0)) job.turnAway(new RetryJob(LEFT_BEHIND_MS));
  }

  private enter(): Promise<void> {
    if (this.closed) return Promise.reject(new RetryJob(LEFT_BEHIND_MS));
    return new Promise((pass, turnAway) => {
      this.waiting.push({ pass, turnAway });
      this.admit();
    });
  }

  private admit(): void {
    while (!this.paused && !this.isFull) {
      const next = this.waiting.shift();
      if (next === undefined) return;
      this.running++;
      next.pass();
    }
  }
}
