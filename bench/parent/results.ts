import type { GroupName } from '../settings.js';
import { median, spread } from './stats.js';

/** One figure of one contender: a value per round. */
export interface Measurement {
  readonly group: GroupName;
  readonly contender: string;
  readonly metric: string;
  readonly unit: string;
  readonly values: readonly number[];
}

/** A contender that was not measured, and why. */
export interface LeftOut {
  readonly group: GroupName;
  readonly contender: string;
  readonly reason: string;
}

/** Everything that a run measured. */
export class Results {
  readonly leftOut: LeftOut[] = [];
  /** What must not be: events that were not handled, and the like. */
  readonly failures: string[] = [];
  private readonly figures = new Map<
    string,
    { -readonly [K in keyof Measurement]: Measurement[K] } & { values: number[] }
  >();

  add(group: GroupName, contender: string, metric: string, unit: string, value: number): void {
    const key = `${group}/${contender}/${metric}`;
    const known = this.figures.get(key);
    if (known === undefined) {
      this.figures.set(key, { group, contender, metric, unit, values: [value] });
    } else known.values.push(value);
  }

  /** All rounds' values; empty where it was not measured. */
  values(group: GroupName, contender: string, metric: string): readonly number[] {
    return this.figures.get(`${group}/${contender}/${metric}`)?.values ?? [];
  }

  all(): Measurement[] {
    return [...this.figures.values()];
  }

  /** For the JSON file. */
  toJSON(): unknown {
    return this.all().map((figure) => ({
      ...figure,
      median: median(figure.values),
      spread: spread(figure.values),
    }));
  }
}
