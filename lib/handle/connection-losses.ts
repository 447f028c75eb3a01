import type { ConnectionLoss } from '../store/store.js';

/** Losses in a row, with a database that answers, that cost a delivery no attempt. */
const FREE_LOSSES = 3;
/** Deliveries whose losses are remembered; the oldest are forgotten. */
const MAX_REMEMBERED = 10_000;

/**
 * `outage`: the database can't be used. `excused`: it can, and the loss costs nothing for this once.
 * `counts`: it costs an attempt.
 */
export type LossVerdict = 'outage' | 'excused' | 'counts';

/**
 * Decides who is to answer for a connection that was lost under a handler. A network that fails now
 * and then, or a server that restarts, must cost no attempt; a handler that loses its connection each
 * time (a watchdog ends sessions that take too long) must not be run for ever. Counted per process: it is a bound, not an account.
 */
export class ConnectionLosses {
  private readonly inARow = new Map<string, number>();

  /** @param ping resolves if the database can be used */
  constructor(private readonly ping: () => Promise<unknown>) {}

  async judge(delivery: string, loss: ConnectionLoss): Promise<LossVerdict> {
    if (loss === 'limit') return 'counts';
    if (!(await this.answers())) return 'outage';
    const losses = (this.inARow.get(delivery) ?? 0) + 1;
    this.remember(delivery, losses);
    return losses > FREE_LOSSES ? 'counts' : 'excused';
  }

  /** Its last run ended in another way. */
  forget(delivery: string): void {
    this.inARow.delete(delivery);
  }

  private async answers(): Promise<boolean> {
    try {
      await this.ping();
      return true;
    } catch {
      return false;
    }
  }

  private remember(delivery: string, losses: number): void {
    this.inARow.delete(delivery);
    this.inARow.set(delivery, losses);
    if (this.inARow.size <= MAX_REMEMBERED) return;
    const [oldest] = this.inARow.keys();
    if (oldest !== undefined) this.inARow.delete(oldest);
  }
}
