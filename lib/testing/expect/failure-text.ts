import type { DeliveredEvent, DeliveryRun } from '../record/delivery-run.js';
import { differences, print } from './match.js';

/** Of a list, so many are printed. */
const SHOWN = 10;

/** What a test asks of an event: nothing, properties of its data, or a function. */
export type Match = object | ((data: never, event: never) => boolean) | undefined;

export function matches(event: DeliveredEvent, match: Match): boolean {
  if (match === undefined) return true;
  if (typeof match === 'function') {
    return (match as (data: unknown, event: unknown) => boolean)(event.data, event);
  }
  return differences(match, event.data).length === 0;
}

/** ` with { … }`, as it goes on after the name of what was expected. */
export function printMatch(match: Match): string {
  if (match === undefined) return '';
  return typeof match === 'function' ? ' that the function accepts' : ` with ${print(match)}`;
}

/** The events of a list, numbered. */
export function listEvents(events: readonly DeliveredEvent[]): string[] {
  return list(events.map(({ name, data }) => `${name} ${print(data)}`));
}

/** How often which events were emitted. */
export function countNames(events: readonly DeliveredEvent[]): string {
  const counts = new Map<string, number>();
  for (const { name } of events) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, count]) => `${name} (${count})`).join(', ');
}

/** Attempts, numbered, with what became of them. */
export function listRuns(runs: readonly DeliveryRun[]): string[] {
  return list(
    runs.map(({ event, outcome, attempt, error }) => {
      const why = error instanceof Error ? `: ${error.name}: ${error.message}` : '';
      return `${event.name} ${print(event.data)}: ${outcome}, attempt ${attempt}${why}`;
    }),
  );
}

/** Of those that don't match, the one with the fewest differences, field by field. */
export function nearestMiss(events: readonly DeliveredEvent[], match: Match): string[] {
  if (match === undefined || typeof match === 'function' || events.length === 0) return [];
  const misses = events.map((event, index) => ({
    number: index + 1,
    found: differences(match, event.data),
  }));
  const [nearest] = misses.toSorted((a, b) => a.found.length - b.found.length);
  if (nearest === undefined || nearest.found.length === 0) return [];
  return [
    `The nearest is number ${nearest.number}, which differs in:`,
    ...nearest.found.map(
      ({ path, expected, actual }) => `  ${path || 'data'}: expected ${expected}, was ${actual}`,
    ),
  ];
}

function list(lines: readonly string[]): string[] {
  const shown = lines.slice(0, SHOWN).map((line, index) => `  ${index + 1}. ${line}`);
  const more = lines.length - shown.length;
  return more > 0 ? [...shown, `  … and ${more} more`] : shown;
}
