import { AsyncLocalStorage } from 'node:async_hooks';
import type { QueryRunner } from 'typeorm';

interface Lane {
  /** Statements of the application's that were sent, or are about to be, and have no answer yet. */
  underWay: number;
  /** Settles when the last emit that was let in has written its rows. */
  gate: Promise<void> | undefined;
}

/**
 * Sends an emit's statements when no other of the same transaction is under way, and others after
 * them. A connection takes statements one by one anyway; but a driver sends the next one without
 * asking whether the one before it has failed, and a server that has ended the transaction by then
 * commits it alone (failure modes A2, A4: `Promise.all([manager.save(order), events.emit(…)])`).
 */
export class StatementGate {
  private readonly writing = new AsyncLocalStorage<true>();
  private readonly lanes = new WeakMap<QueryRunner, Lane>();

  /** @param ask sends a statement that does nothing, and resolves when it is answered */
  constructor(private readonly ask: (runner: QueryRunner) => Promise<void>) {}

  /** Before each statement; it waits for what this returns. */
  before(runner: QueryRunner): Promise<void> | undefined {
    if (this.writing.getStore() === true) return undefined;
    const lane = this.lane(runner);
    if (lane.gate !== undefined) return lane.gate.then(() => this.before(runner));
    lane.underWay++;
    return undefined;
  }

  /** After each statement. */
  after(runner: QueryRunner): void {
    if (this.writing.getStore() === true) return;
    const lane = this.lane(runner);
    lane.underWay = Math.max(0, lane.underWay - 1);
  }

  /** Runs `write` alone; only its own statements are sent meanwhile. */
  async alone<T>(runner: QueryRunner, write: () => Promise<T>): Promise<T> {
    const lane = this.lane(runner);
    const previous = lane.gate;
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    lane.gate = gate;
    try {
      await previous;
      return await this.writing.run(true, async () => {
        if (lane.underWay > 0) await this.drain(runner, lane);
        return write();
      });
    } finally {
      if (lane.gate === gate) lane.gate = undefined;
      open();
    }
  }

  /**
   * Not by waiting for the count to sink: what another subscriber has stopped is never answered. An
   * answer to this one says that those sent before it have been answered too.
   */
  private async drain(runner: QueryRunner, lane: Lane): Promise<void> {
    await this.ask(runner);
    lane.underWay = 0;
  }

  private lane(runner: QueryRunner): Lane {
    let lane = this.lanes.get(runner);
    if (lane === undefined) {
      lane = { underWay: 0, gate: undefined };
      this.lanes.set(runner, lane);
    }
    return lane;
  }
}
