import { median } from '../parent/stats.js';

/** Times between the relay's transactions, in ms. */
export class PassTimes {
  private gaps: number[] = [];
  private last: number | undefined;

  record(): void {
    const now = performance.now();
    if (this.last !== undefined) this.gaps.push(now - this.last);
    this.last = now;
  }

  /** Of those since the last call. */
  median(): number | undefined {
    const { gaps } = this;
    this.gaps = [];
    this.last = undefined;
    return gaps.length === 0 ? undefined : median(gaps);
  }
}
