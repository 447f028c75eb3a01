/**
 * Runs `work` soon after each call, but never twice at once: calls that come while it runs are
 * answered by one more run.
 */
export class Coalesced {
  private running = false;
  private again = false;

  constructor(private readonly work: () => Promise<unknown>) {}

  /** Never throws; what fails is forgotten. */
  trigger(): void {
    this.again = true;
    if (!this.running) void this.run();
  }

  private async run(): Promise<void> {
    this.running = true;
    while (this.again) {
      this.again = false;
      // A hint that could not be given is no harm.
      await this.work().catch(() => undefined);
    }
    this.running = false;
  }
}
