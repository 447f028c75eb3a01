/** Share of the newest attempt in the mean. */
const NEWEST = 0.1;

/** How long handlers take: a mean in which old attempts count ever less. */
export class Paces {
  private readonly meanMs = new Map<string, number>();

  record(handlerId: string, ms: number): void {
    const mean = this.meanMs.get(handlerId);
    this.meanMs.set(handlerId, mean === undefined ? ms : mean + (ms - mean) * NEWEST);
  }

  /** How many of the handler's deliveries fit into so many ms; undefined where none has run yet. */
  fitting(handlerId: string, ms: number): number | undefined {
    const mean = this.meanMs.get(handlerId);
    return mean === undefined ? undefined : Math.max(1, Math.floor(ms / Math.max(mean, 0.01)));
  }
}
