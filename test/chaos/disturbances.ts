/**
 * How long after a service was broken its client may still wait for its next try, in ms: BullMQ
 * pauses up to 5 s between its tries to reach Redis.
 */
const ECHO_MS = 5_000;

/** What faults did to one process, so that its end can be judged fairly. */
export class Disturbances {
  private readonly broken = new Set<{ what: string; endedAt: number }>();

  /** One of its services is broken from now on. Returns what is to be called when it works again. */
  begin(what: string): () => void {
    const disturbance = { what, endedAt: Infinity };
    this.broken.add(disturbance);
    return () => void (disturbance.endedAt = Date.now());
  }

  /** All works again, and has been seen to. */
  forget(): void {
    this.broken.clear();
  }

  /** What was broken at that time, since then, or so shortly before that it still has an effect. */
  since(time: number): string[] {
    const felt = [...this.broken].filter(({ endedAt }) => endedAt > time - ECHO_MS);
    return [...new Set(felt.map(({ what }) => what))];
  }
}
