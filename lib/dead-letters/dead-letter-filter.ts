import { validate as isUuid } from 'uuid';
import { nearest } from '../common/nearest.js';
import { InvalidOptionsError } from '../errors.js';
import type { DeadLetterCriteria } from '../store/dead-letter-store.js';

/** Which dead letters: those that match everything that is given. */
export interface DeadLetterFilter {
  eventId?: string | undefined;
  /** Of the event in the log; the only name of an event that was deleted from it. */
  position?: number | undefined;
  /** Name of the event. */
  event?: string | undefined;
  handler?: string | undefined;
  /** A part of the last error's text, in upper or lower case. */
  error?: string | undefined;
  /** Died at this time or later. */
  deadFrom?: Date | undefined;
  /** Died before this time. */
  deadUntil?: Date | undefined;
  /** To change all dead letters, where nothing else is given: no change may hit all by accident. */
  all?: true;
}

const KNOWN = [
  'eventId',
  'position',
  'event',
  'handler',
  'error',
  'deadFrom',
  'deadUntil',
  'all',
] as const;

/**
 * Checks a filter. A misspelled key would match everything, so it is refused.
 *
 * @throws InvalidOptionsError
 */
export function toCriteria(filter: DeadLetterFilter): DeadLetterCriteria {
  for (const key of Object.keys(filter)) {
    if (KNOWN.some((known) => known === key)) continue;
    const suggestion = nearest(key, KNOWN);
    refuse(
      key,
      `is unknown; ${suggestion ? `did you mean "${suggestion}"?` : `known are: ${KNOWN.join(', ')}.`}`,
    );
  }
  const { eventId, deadFrom, deadUntil } = filter;
  if (eventId !== undefined && !isUuid(eventId)) refuse('eventId', 'is no event id (a UUID).');
  return withoutUndefined({
    eventId,
    position: wholeNumber('position', filter.position),
    event: text('event', filter.event),
    handler: text('handler', filter.handler),
    error: text('error', filter.error),
    deadFrom: time('deadFrom', deadFrom),
    deadUntil: time('deadUntil', deadUntil),
  });
}

/**
 * Like {@link toCriteria}, for a change. A key that is there without a value (a parameter that was
 * forgotten) would make it hit more than was meant.
 *
 * @throws InvalidOptionsError where a key is undefined, or where it would match everything and does
 *   not say `all: true`
 */
export function toCriteriaOfChange(filter: DeadLetterFilter = {}): DeadLetterCriteria {
  for (const [key, value] of Object.entries(filter)) {
    if (value !== undefined || key === 'all') continue;
    refuse(
      key,
      'is undefined, and a change would hit all of it; give it a value, or leave it out.',
    );
  }
  const criteria = toCriteria(filter);
  if (Object.keys(criteria).length === 0 && filter.all !== true) {
    refuse('all', 'must be true to change all dead letters; the filter names nothing.');
  }
  return criteria;
}

function text(key: string, value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'string' && value !== '' && !value.includes('\0')) return value;
  return refuse(key, 'must be a text, not an empty one.');
}

function wholeNumber(key: string, value: number | undefined): number | undefined {
  if (value === undefined || (Number.isSafeInteger(value) && value > 0)) return value;
  return refuse(key, 'must be a whole number from 1.');
}

function time(key: string, value: Date | undefined): string | undefined {
  if (value === undefined) return undefined;
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value.toISOString();
  return refuse(key, 'must be a valid Date.');
}

function withoutUndefined<T extends object>(
  object: T,
): { [Key in keyof T]: Exclude<T[Key], undefined> } {
  const entries = Object.entries(object).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [Key in keyof T]: Exclude<T[Key], undefined> };
}

function refuse(key: string, problem: string): never {
  throw new InvalidOptionsError(`deadLetters.${key}`, problem);
}
