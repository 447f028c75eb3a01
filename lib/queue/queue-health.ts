import type { Signals } from '../observability/signals.js';

const OUTAGE =
  /ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENOTFOUND|EAI_AGAIN|connection (?:is|was)? ?closed|connection terminated|connection ended|timeout|stream isn't writeable|57P0|the database system is/i;

/** Whether the queue can be reached, as last seen; tells a change once, not at every failure. */
export class QueueHealth {
  private available: boolean | undefined;

  constructor(
    private readonly target: string,
    private readonly signals: Signals,
  ) {}

  down(error: unknown): void {
    if (this.available === false) return;
    this.available = false;
    this.signals.publish('queue.unavailable', { target: this.target, error });
  }

  up(): void {
    const wasDown = this.available === false;
    this.available = true;
    if (wasDown) this.signals.publish('queue.available', { target: this.target });
  }

  /** An error event of BullMQ: an outage, or something to be read by people. */
  report(queue: string, error: unknown): void {
    const { code = '', message = String(error) } = error as { code?: string; message?: string };
    if (OUTAGE.test(`${code} ${message}`)) this.down(error);
    else this.signals.publish('queue.error', { queue, error });
  }
}
