/** As it was when this file was loaded: a test's fake timers must not hold up what it awaits. */
const afterThisTurn = setImmediate;

/**
 * Collects items that arrive while a flush is under way and hands them on together: one statement
 * for all that is concurrent, and no delay for what is alone (group commit).
 *
 * `flush` returns one result per item, in their order; if it rejects, all its items reject.
 */
export class Batcher<Item, Result> {
  private waiting: Entry<Item, Result>[] = [];
  private scheduled = false;
  private running = 0;

  constructor(
    private readonly flush: (items: readonly Item[]) => Promise<readonly Result[]>,
    private readonly limits: { maxItems: number; concurrency: number },
  ) {}

  add(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ item, resolve, reject });
      this.schedule();
    });
  }

  /** One turn of the event loop later, so that all jobs that end in this turn share a statement. */
  private schedule(): void {
    if (this.scheduled || this.running >= this.limits.concurrency) return;
    this.scheduled = true;
    afterThisTurn(() => {
      this.scheduled = false;
      void this.run();
    });
  }

  private async run(): Promise<void> {
    const batch = this.waiting.splice(0, this.limits.maxItems);
    if (batch.length === 0) return;
    this.running++;
    if (this.waiting.length > 0) this.schedule();
    try {
      const results = await this.flush(batch.map(({ item }) => item));
      batch.forEach(({ resolve }, index) => resolve(results[index] as Result));
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      this.running--;
      if (this.waiting.length > 0) this.schedule();
    }
  }
}

interface Entry<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (reason: unknown) => void;
}
