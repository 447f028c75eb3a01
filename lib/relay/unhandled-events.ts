import type { Signals } from '../observability/signals.js';
import type { RelayedBatch } from '../store/event-store.js';
import { handlersPerName } from '../store/fan-out.js';

/** Tells of events that no handler takes: once per name, as that may be just what is wanted. */
export class UnhandledEvents {
  private readonly told = new Set<string>();

  constructor(private readonly signals: Signals) {}

  report({ events, handlers }: RelayedBatch): void {
    const taken = handlersPerName(handlers);
    for (const { name } of events) {
      if (taken.has(name) || this.told.has(name)) continue;
      this.told.add(name);
      this.signals.publish('event.unhandled', { name });
    }
  }
}
