/**
 * Knows of every event how often it was handled: a count alone could hide a lost event behind one
 * that was handled twice.
 */
export class Tally {
  /** Handler calls beyond one per delivery, of the events expected last. */
  repeats = 0;
  /** Calls of those expected last, without repeats. */
  handled = 0;
  private from = 0;
  private calls = new Uint8Array(0);
  private left = 0;
  private all: () => void = () => undefined;

  constructor(private readonly handlers: number) {}

  /** Expects events `from`…`from + count - 1`; resolves when each was handled by all handlers. */
  expect(from: number, count: number): Promise<void> {
    this.from = from;
    this.calls = new Uint8Array(count);
    this.left = count * this.handlers;
    this.repeats = 0;
    this.handled = 0;
    return new Promise((resolve) => {
      this.all = resolve;
    });
  }

  count(n: number): void {
    const index = n - this.from;
    const calls = this.calls[index];
    // One expected earlier that runs again.
    if (calls === undefined) return;
    if (calls >= this.handlers) {
      this.repeats++;
      return;
    }
    this.calls[index] = calls + 1;
    this.handled++;
    if (--this.left === 0) this.all();
  }
}
