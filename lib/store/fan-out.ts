import type { RegisteredHandler } from './event-store.js';

/** Event name → number of handlers that take it; names without any are left out. */
export function handlersPerName(
  handlers: readonly Pick<RegisteredHandler, 'events'>[],
): Map<string, number> {
  const perName = new Map<string, number>();
  for (const name of handlers.flatMap(({ events }) => [...new Set(events)])) {
    perName.set(name, (perName.get(name) ?? 0) + 1);
  }
  return perName;
}
