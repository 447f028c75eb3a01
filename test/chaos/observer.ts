import { setTimeout as delay } from 'node:timers/promises';
import type { ChaosDatabase } from './databases/chaos-database.js';

const EVERY_MS = 250;
/** The library's own limits (10 s idle, 30 s a statement), and time to be noticed. */
const RELAY_LIMIT_S = 32;
const RELAY_IDLE_LIMIT_S = 12;

/**
 * Looks all the time: reads the log by position as a consumer would, and samples transactions and
 * connections.
 */
export class Observer {
  readonly problems: string[] = [];
  /** The last position read; all up to it were seen, one by one. */
  cursor = 0;
  longestRelayTransactionS = 0;
  mostConnections = 0;
  private running: Promise<void> | undefined;
  private reading: Promise<void> = Promise.resolve();
  private readonly stopping = new AbortController();

  constructor(private readonly database: ChaosDatabase) {}

  start(): void {
    this.running = this.loop();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
    this.database.admin.close();
  }

  /** Reads what a consumer would get next. */
  readOn(): Promise<void> {
    // One at a time: two readers with one cursor would find gaps that are none.
    const reading = this.reading.then(() => this.readPage());
    this.reading = reading.catch(() => undefined);
    return reading;
  }

  private async readPage(): Promise<void> {
    const rows = await this.database.admin.query<{ position: string | number }>(
      `SELECT position FROM events_log WHERE position > ${this.cursor} ORDER BY position LIMIT 5000`,
    );
    for (const { position } of rows) {
      const next = Number(position);
      if (next !== this.cursor + 1) {
        this.problems.push(`a reader at ${this.cursor} found ${next} next: it missed an event`);
      }
      this.cursor = next;
    }
  }

  private async loop(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      try {
        await this.readOn();
        await this.sample();
      } catch {
        // The server is down on purpose.
      }
      await delay(EVERY_MS);
    }
  }

  private async sample(): Promise<void> {
    const sessions = await this.database.sessions();
    this.mostConnections = Math.max(this.mostConnections, sessions.length);
    for (const { ofRelay, idle, age } of sessions) {
      if (!ofRelay) continue;
      this.longestRelayTransactionS = Math.max(this.longestRelayTransactionS, age);
      if (age > (idle ? RELAY_IDLE_LIMIT_S : RELAY_LIMIT_S)) {
        this.problems.push(`a relay's transaction is ${age.toFixed(1)} s old (idle: ${idle})`);
      }
    }
  }
}
