import { parseDuration } from '../common/duration.js';
import type { Backoff, BackoffConfig } from './handler.options.js';

/** Wait in ms after failed attempt number `attempt` (from 1). May throw: it may be the user's. */
export type ResolveDelay = (attempt: number, error: unknown) => number;

const DEFAULT_MAX = '1h';
/** A year: what is longer is a mistake, and an interval that databases refuse at some length. */
const LIMIT_MS = 365 * 86_400_000;

/** The function for a `backoff` option; `undefined` if the option can't be used. */
export function resolveBackoff(backoff: Backoff): ResolveDelay | undefined {
  if (typeof backoff === 'function') {
    return (attempt, error) => {
      const delay = parseWait(backoff(attempt, error));
      if (delay === undefined) throw new TypeError('the backoff function returned no duration');
      return delay;
    };
  }
  if (typeof backoff !== 'object') return fromConfig({ type: 'fixed', delay: backoff });
  return backoff === null ? undefined : fromConfig(backoff);
}

function fromConfig(config: BackoffConfig): ResolveDelay | undefined {
  const delay = parseWait(config.delay);
  const max = parseWait(config.max ?? DEFAULT_MAX);
  const jitter = config.jitter ?? 0;
  const isType = config.type === 'fixed' || config.type === 'exponential';
  if (delay === undefined || max === undefined || !isType || !(jitter >= 0 && jitter <= 1)) {
    return undefined;
  }
  return (attempt) => {
    // 2 ** 53 ms is beyond any maximum; more would end in Infinity.
    const factor = config.type === 'exponential' ? 2 ** Math.min(attempt - 1, 53) : 1;
    const full = Math.min(delay * factor, max);
    return Math.round(full * (1 - jitter * Math.random()));
  };
}

function parseWait(value: unknown): number | undefined {
  const ms = parseDuration(value);
  return ms === undefined || ms > LIMIT_MS ? undefined : ms;
}
