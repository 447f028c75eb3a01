/**
 * How long a job goes on to begin deliveries, in ms. What is left then gets jobs of its own, so that
 * slow handlers keep all workers busy and nothing waits behind one that hangs.
 */
export const CHUNK_MS = 100;

/** As it was when this file was loaded: a test's fake timers must not hold up what it awaits. */
const afterThisTurn = setImmediate;

/** Lets the deliveries of a job run one after the other, and none begin once its time is over. */
export class ChunkTurns {
  private readonly waiting: ((end: (() => void) | undefined) => void)[] = [];
  private begun = 0;
  private startedAt = 0;
  private timer: NodeJS.Timeout | undefined;
  private isTaken = false;
  private isOver = false;
  private onOver: () => void = () => undefined;

  /** Resolves when time is over for deliveries that wait, and they have been told. */
  readonly over = new Promise<void>((resolve) => {
    this.onOver = resolve;
  });

  /**
   * Resolves when it is the caller's turn, to what ends it; to undefined when time is over. The first
   * one always has a turn.
   */
  take(): Promise<(() => void) | undefined> | (() => void) | undefined {
    if (this.isOver) return undefined;
    if (!this.isTaken) return this.begin();
    this.timer ??= setTimeout(() => this.end(), CHUNK_MS);
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  /** How many deliveries fit into a job's time, going by those that have run. */
  fitting(): number {
    return Math.max(1, Math.floor((this.begun * CHUNK_MS) / (performance.now() - this.startedAt)));
  }

  /** No timer is left behind. */
  close(): void {
    clearTimeout(this.timer);
  }

  private begin(): () => void {
    this.isTaken = true;
    if (this.begun++ === 0) this.startedAt = performance.now();
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      this.isTaken = false;
      if (performance.now() - this.startedAt >= CHUNK_MS) this.end();
      else this.waiting.shift()?.(this.begin());
    };
  }

  private end(): void {
    if (this.isOver) return;
    this.isOver = true;
    for (const resolve of this.waiting.splice(0)) resolve(undefined);
    afterThisTurn(() => this.onOver());
  }
}
