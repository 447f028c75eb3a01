import type { RegisteredHandler } from './event-store.js';

/**
 * Handler id or alias → the attempts that a redriven delivery gets, of all that somebody takes.
 *
 * @param handlers those that get deliveries
 */
export function redriveTargets(handlers: readonly RegisteredHandler[]): Map<string, number> {
  return new Map(
    handlers.flatMap(({ id, aliases, maxAttempts }) =>
      [id, ...aliases].map((name) => [name, maxAttempts] as const),
    ),
  );
}
