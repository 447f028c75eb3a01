import { parseDuration } from '../common/duration.js';
import type { Backoff, BackoffConfig } from './handler.options.js';

/** Wait in ms after failed attempt number `attempt` (from 1). May throw: it may be the user's. */
export type ResolveDelay = (attempt: number, error: unknown) => number;

const DEFAULT_MAX = '1h';

/** The function for a `backoff` option; `undefined` if the option can't be used. */
export function resolveBackoff(backoff: Backoff): ResolveDelay | undefined {
  if (typeof backoff === 'function') {
    return (attempt, error) => {
      const delay = parseDuration(backoff(attempt, error));
      if (delay === undefined) throw new TypeError('the backoff function returned no duration');
      return delay;
    };
  }
  if (typeof backoff !== 'object') return fromConfig({ type: 'fixed', delay: backoff });
  return backoff === null ? undefined : fromConfig(backoff);
}

function fromConfig(config: BackoffConfig): ResolveDelay | undefined {
  const delay = parseDuration(config.delay);
  const max = parseDuration(config.max ?? DEFAULT_MAX);
  const jitter = config.jitter ?? 0;
  const isType = config.type === 'fixed' || config.type === 'exponential';
  if (delay === undefined || max === undefined || !isType || !(jitter >= 0 && jitter <= 1)) {
    return undefined;
  }
  return (attempt) => {
    const factor = config.type === 'exponential' ? 2 ** (attempt - 1) : 1;
    const full = Math.min(delay * factor, max);
    return Math.round(full * (1 - jitter * Math.random()));
  };
}
