/** As it was when this file was loaded: a test's fake timers must not hold back wake-ups. */
const startTimer = setTimeout;

/**
 * Runs `work` at once at the first call, but never twice at once, and not again before `gapMs` have
 * passed: calls that come meanwhile are answered by one more run.
 */
export class Coalesced {
  private running = false;
  private again = false;

  constructor(
    private readonly work: () => Promise<unknown>,
    private readonly gapMs = 0,
  ) {}

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
      if (this.gapMs > 0) await gap(this.gapMs);
    }
    this.running = false;
  }
}

function gap(ms: number): Promise<void> {
  return new Promise((resolve) => {
    // A process that has nothing else to do may end: polling finds what it has not told.
    startTimer(resolve, ms).unref();
  });
}
