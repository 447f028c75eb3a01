import { subscribe } from 'node:diagnostics_channel';
import { writeSync } from 'node:fs';
import type { Logger } from 'typeorm';
import { HITS_FD, type Failpoint, type FailpointAction } from './protocol.js';

const SIGNALS: Record<string, Failpoint> = {
  'event.emitted': 'emit.after-insert',
  'relay.moved': 'relay.after-commit',
  'relay.pushed': 'relay.after-push',
  'delivery.started': 'deliver.before-handler',
  'delivery.completed': 'deliver.after-completion',
};

/**
 * Stops this process exactly where it was told to. The library needs no code for that: its signals
 * are published synchronously, so a listener stands at the very place.
 */
export class Failpoints {
  private armed: { failpoint: Failpoint; action: FailpointAction } | undefined;

  constructor() {
    for (const [signal, failpoint] of Object.entries(SIGNALS)) {
      subscribe(`nestjs-durable-events:${signal}`, () => this.reach(failpoint));
    }
  }

  arm(failpoint: Failpoint, action: FailpointAction): void {
    this.armed = { failpoint, action };
  }

  disarm(): void {
    this.armed = undefined;
  }

  /** Returns only if it is not armed, or after a pause. */
  reach(failpoint: Failpoint): void {
    if (this.armed?.failpoint !== failpoint) return;
    const { action } = this.armed;
    this.armed = undefined;
    // Written before the next line, unlike a message of `process.send`.
    writeSync(HITS_FD, `${failpoint} ${action}\n`);
    process.kill(process.pid, action === 'kill' ? 'SIGKILL' : 'SIGSTOP');
  }
}

/**
 * Reaches the relay's transaction between its claim and its commit, where no signal is: TypeORM
 * logs a statement before it sends it.
 */
export class RelayClaimWatch implements Logger {
  private claiming = false;

  constructor(private readonly failpoints: Failpoints) {}

  logQuery(query: string): void {
    if (query.includes('INSERT INTO "events_log"')) this.claiming = true;
    else if (this.claiming && query === 'COMMIT') {
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
