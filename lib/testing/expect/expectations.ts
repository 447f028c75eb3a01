import { AssertionError } from 'node:assert';
import type { DeliveryRun } from '../record/delivery-run.js';
import type { RecordedEvent } from '../record/recorded-event.js';
import type { TestingMode } from '../events-testing.options.js';
import {
  countNames,
  listEvents,
  listRuns,
  matches,
  nearestMiss,
  printMatch,
  type Match,
} from './failure-text.js';

/** What an application has done so far, as far as tests ask for it. */
export interface Recording {
  readonly emitted: readonly RecordedEvent[];
  readonly runs: readonly DeliveryRun[];
  /** Those of this process. */
  readonly handlers: readonly { readonly id: string; readonly events: readonly string[] }[];
  readonly mode: TestingMode;
}

/** @throws AssertionError */
export function expectEmitted(
  { emitted }: Recording,
  name: string,
  match: Match,
  times: number | undefined,
): void {
  const ofName = emitted.filter((event) => event.name === name);
  const found = ofName.filter((event) => matches(event, match));
  if (times === undefined ? found.length > 0 : found.length === times) return;
  const often = times === undefined ? '' : ` ${count(times)}`;
  const but = found.length === 0 ? 'it was not' : `it was ${count(found.length)}`;
  fail([
    `Expected ${name}${printMatch(match)} to be emitted${often}, but ${but}.`,
    ...whatWasEmitted(emitted, ofName, name),
    ...(found.length === 0 ? nearestMiss(ofName, match) : []),
  ]);
}

/** @throws AssertionError */
export function expectNotEmitted({ emitted }: Recording, name: string, match: Match): void {
  const found = emitted.filter((event) => event.name === name && matches(event, match));
  if (found.length === 0) return;
  fail([
    `Expected no ${name}${printMatch(match)} to be emitted, but it was ${count(found.length)}:`,
    ...listEvents(found),
  ]);
}

/**
 * @param outcome which end of the delivery is asked for
 * @throws AssertionError
 */
export function expectEnded(
  recording: Recording,
  handler: string,
  outcome: 'completed' | 'dead',
  match: Match,
): void {
  const { runs } = recording;
  const ofHandler = runs.filter((run) => run.handler === handler);
  const matching = ofHandler.filter(({ event }) => matches(event, match));
  const last = lastPerEvent(matching);
  if (last.some((run) => run.outcome === outcome)) return;
  const what = outcome === 'dead' ? 'to be a dead letter of' : 'to be delivered to';
  const lines = [`Expected an event${printMatch(match)} ${what} ${handler}, but none was.`];
  if (ofHandler.length === 0) {
    lines.push(whyNotRun(recording, handler));
  } else {
    lines.push('What it has run:', ...listRuns(ofHandler));
    if (matching.length === 0) {
      const events = ofHandler.map(({ event }) => event);
      lines.push(...nearestMiss(events, match));
    } else if (last.some((run) => run.outcome === 'failed')) {
      lines.push("Attempts that are left are made by drain({ retries: 'all' }).");
    }
  }
  fail(lines);
}

function whyNotRun({ emitted, handlers, mode }: Recording, id: string): string {
  const handler = handlers.find((each) => each.id === id);
  if (handler === undefined) {
    const known = handlers.map((each) => each.id).join(', ');
    return `There is no handler "${id}". There are: ${known || 'none'}.`;
  }
  const taken = emitted.filter(({ name }) => handler.events.includes(name));
  if (taken.length === 0) {
    return `The handler has not run: it takes ${handler.events.join(', ')}, which was not emitted.`;
  }
  if (mode === 'off') return "The handler has not run: with mode 'off' none does.";
  if (taken.every(({ delayMs }) => delayMs > 0)) {
    return 'The handler has not run: what it takes was emitted with a delay. Call advance(…) and drain() first.';
  }
  return mode === 'manual'
    ? 'The handler has not run: await events.drain() first.'
    : 'The handler has not run: what it takes is not committed yet.';
}

function whatWasEmitted(
  emitted: readonly RecordedEvent[],
  ofName: readonly RecordedEvent[],
  name: string,
): string[] {
  if (emitted.length === 0) return ['Nothing was emitted.'];
  if (ofName.length === 0) return [`Emitted were: ${countNames(emitted)}.`];
  const others = emitted.filter((event) => event.name !== name);
  return [
    'Emitted were:',
    ...listEvents(ofName),
    ...(others.length > 0 ? [`and others: ${countNames(others)}.`] : []),
  ];
}

/** The last attempt of each delivery: a redrive may follow on a dead letter. */
function lastPerEvent(runs: readonly DeliveryRun[]): DeliveryRun[] {
  return [...new Map(runs.map((run) => [run.event.eventId, run])).values()];
}

function count(times: number): string {
  if (times === 0) return 'never';
  return times === 1 ? 'once' : `${times} times`;
}

function fail(lines: readonly string[]): never {
  // The operator keeps jest from printing a comparison of nothing with nothing.
  throw new AssertionError({ message: lines.join('\n'), operator: 'fail' });
}
