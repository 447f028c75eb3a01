import type { Signals } from '../observability/signals.js';

const OUTAGE =
  /ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENOTFOUND|EAI_AGAIN|connection (?:is|was)? ?closed|connection terminated|connection ended|timed? ?out|stream isn't writeable|57P0|the database system is|\bREADONLY\b|\bLOADING\b|\bMASTERDOWN\b|\bCLUSTERDOWN\b|\bOOM command/i;

/** One error is not told again for this long, in ms. */
const TELL_AGAIN_MS = 30_000;

/** Whether the queue can be reached, as last seen; tells a change once, not at every failure. */
export class QueueHealth {
  private available: boolean | undefined;
  /** Error text → when it was told, in ms. */
  private readonly told = new Map<string, number>();

  constructor(
    readonly target: string,
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
    else if (this.isNew(`${queue} ${message}`))
      this.signals.publish('queue.error', { queue, error });
  }

  /** BullMQ repeats what fails without a pause, and an error with it: each is told now and then. */
  private isNew(text: string): boolean {
    const now = performance.now();
    for (const [other, at] of this.told) if (now - at > TELL_AGAIN_MS) this.told.delete(other);
    if (this.told.has(text)) return false;
    this.told.set(text, now);
    return true;
  }
}
