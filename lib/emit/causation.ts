import { AsyncLocalStorage } from 'node:async_hooks';

/** The event that a handler is handling right now. */
export interface Cause {
  readonly eventId: string;
  readonly correlationId: string | undefined;
}

/**
 * Carries the handled event to the emits a handler makes, however deep: they get its id as their
 * `causationId` and keep its `correlationId` (its own id where it has none).
 */
export class Causation {
  private readonly storage = new AsyncLocalStorage<Cause>();

  run<T>(cause: Cause, work: () => T): T {
    return this.storage.run(cause, work);
  }

  current(): { causationId: string; correlationId: string } | undefined {
    const cause = this.storage.getStore();
    if (cause === undefined) return undefined;
    return { causationId: cause.eventId, correlationId: cause.correlationId ?? cause.eventId };
  }
}
