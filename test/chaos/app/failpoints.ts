import { subscribe } from 'node:diagnostics_channel';
import { writeSync } from 'node:fs';
import type { Logger } from 'typeorm';
import { HANDLERS } from './orders.js';
import { GOES_ON, HITS_FD, type Failpoint, type FailpointAction } from './protocol.js';

const SIGNALS: Record<string, Failpoint> = {
  'event.emitted': 'emit.after-insert',
  'relay.moved': 'relay.after-commit',
  'relay.pushed': 'relay.after-push',
  'delivery.started': 'deliver.before-handler',
  'delivery.completed': 'deliver.after-completion',
};

interface Started {
  readonly handler: string;
  readonly position: number;
  readonly attempt: number;
  readonly maxAttempts: number;
}

/**
 * Stops this process exactly where it was told to. The library needs no code for that: its signals
 * are published synchronously, so a listener stands at the very place.
 */
export class Failpoints {
  private late: string | undefined;
  private armed: { failpoint: Failpoint; action: FailpointAction } | undefined;

  constructor() {
    for (const [signal, failpoint] of Object.entries(SIGNALS)) {
      subscribe(`nestjs-durable-events:${signal}`, () => this.reach(failpoint));
    }
    subscribe('nestjs-durable-events:delivery.started', (message) => this.started(message));
  }

  arm(failpoint: Failpoint, action: FailpointAction): void {
    this.armed = { failpoint, action };
  }

  disarm(): void {
    this.armed = undefined;
  }

  /** Returns only if it is not armed: false; or after a pause: true. */
  reach(failpoint: Failpoint): boolean {
    if (this.armed?.failpoint !== failpoint) return false;
    const { action } = this.armed;
    this.armed = undefined;
    // Written before the next line, unlike a message of `process.send`.
    writeSync(HITS_FD, `${failpoint} ${action}\n`);
    process.kill(process.pid, action === 'kill' ? 'SIGKILL' : 'SIGSTOP');
    writeSync(HITS_FD, `${GOES_ON}\n`);
    return true;
  }

  /** For a place in the last attempt of the handler `flaky`. */
  get isArmedLate(): boolean {
    const { failpoint } = this.armed ?? {};
    return failpoint === 'deliver.late-failure' || failpoint === 'deliver.late-success';
  }

  /** Whether this attempt stood still before its transaction. */
  isLate(position: number, attempt: number): boolean {
    return this.late === `${position}/${attempt}`;
  }

  /** Before the transaction of a last attempt, which would hold its delivery's row. */
  private started(message: unknown): void {
    const { handler, position, attempt, maxAttempts } = message as Started;
    if (handler !== HANDLERS.flakyTx || attempt !== maxAttempts) return;
    if (this.reach('deliver.late-transaction')) this.late = `${position}/${attempt}`;
  }
}

/**
 * Reaches the relay's transaction between its claim and its commit, where no signal is: TypeORM
 * logs a statement before it sends it. Where both are sent at once: after that, and before their answer.
 */
export class RelayClaimWatch implements Logger {
  private claiming = false;

  constructor(private readonly failpoints: Failpoints) {}

  logQuery(query: string): void {
    if (/INSERT INTO ["`]events_log["`]|EXECUTE events_move_batch/.test(query)) {
      this.claiming = !query.endsWith('COMMIT');
      if (!this.claiming) setImmediate(() => this.failpoints.reach('relay.after-claim'));
    } else if (this.claiming && query === 'COMMIT') {
      this.claiming = false;
      this.failpoints.reach('relay.after-claim');
    }
  }

  logQueryError(): void {
    this.claiming = false;
  }

  logQuerySlow(): void {}
  logSchemaBuild(): void {}
  logMigration(): void {}
  log(): void {}
}
