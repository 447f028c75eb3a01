import { pause } from '../common/time-limit.js';

/** As it was when this file was loaded: a test's fake timers must not hold up what it awaits. */
const afterThisTurn = setImmediate;

interface Limits {
  readonly size: number;
  readonly waitMs: number;
}

/**
 * Puts what comes one by one into batches of at most `size`. A batch runs when it is full, or when its
 * first item has waited for `waitMs`; 0: for what comes in the same turn of the event loop.
 */
export class BatchGatherer<Item, Result> {
  private waiting: Entry<Item, Result>[] = [];
  private isHurried = false;

  constructor(
    private readonly limits: Limits,
    private readonly run: (items: readonly Item[]) => Promise<readonly Result[]>,
  ) {}

  /** @param soon do not wait for more than comes in this turn */
  add(item: Item, soon = false): Promise<Result> {
    return new Promise((resolve, reject) => {
      const entry = { item, resolve, reject };
      if (this.waiting.push(entry) >= this.limits.size) this.flush();
      else if (soon) this.flushSoon();
      else if (this.waiting[0] === entry) void this.flushLater(entry);
    });
  }

  /** What waits for others runs after this turn. */
  flushSoon(): void {
    const [first] = this.waiting;
    if (first === undefined) return;
    afterThisTurn(() => {
      if (this.waiting[0] === first) this.flush();
    });
  }

  /** What waits for others runs now, and from now on nothing waits longer than this turn. */
  hurry(): void {
    this.isHurried = true;
    if (this.waiting.length > 0) this.flush();
  }

  private async flushLater(first: Entry<Item, Result>): Promise<void> {
    const waitMs = this.isHurried ? 0 : this.limits.waitMs;
    await (waitMs > 0 ? pause(waitMs) : new Promise<void>((resolve) => afterThisTurn(resolve)));
    // A full batch may have taken it along; whoever is the first now has a timer of its own.
    if (this.waiting[0] === first) this.flush();
  }

  private flush(): void {
    const batch = this.waiting;
    this.waiting = [];
    this.run(batch.map(({ item }) => item)).then(
      (results) => batch.forEach(({ resolve }, index) => resolve(results[index] as Result)),
      (error: unknown) => batch.forEach(({ reject }) => reject(error)),
    );
  }
}

interface Entry<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (reason: unknown) => void;
}
