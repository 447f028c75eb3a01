import type { Duration } from '../common/duration.js';
import type { EventEnvelope } from '../event/domain-event.js';

/** How a handler takes several events at once: `@EventHandler(PageViewed, { batch: { size: 100 } })`. */
export interface BatchOptions {
  /** Events that one call gets, at most: 1 to 1,000. */
  size: number;
  /**
   * How long the first event waits for others, at most 5 s; it takes one of its queue's `concurrency`
   * meanwhile. Default 0: a call gets what waited together already.
   */
  wait?: Duration;
}

/** What a batch handler returns where it could not handle some of its events. */
export interface BatchResult {
  /** All events that are not named here are completed; nothing of these is. */
  readonly failed: readonly BatchFailure[];
}

export interface BatchFailure {
  /** One of the events that the handler got. */
  readonly event: Pick<EventEnvelope, 'eventId'>;
  /** Why; an `UnrecoverableEventError` makes it a dead letter at once. */
  readonly error: unknown;
}

const WHAT_TO_RETURN =
  'Return nothing, or { failed: [{ event, error }] } with those of its events that it could not handle; ' +
  'nobody knows which these are, so all of them count as failed.';

/**
 * Event id → error, of those that have failed.
 *
 * @param returned what the handler returned: a {@link BatchResult} or nothing
 * @throws TypeError if it can't be read: then nobody knows what was handled
 */
export function failuresOf(returned: unknown, eventIds: ReadonlySet<string>): Map<string, unknown> {
  if (returned === undefined || returned === null) return new Map();
  const { failed } = returned as Partial<BatchResult>;
  if (!Array.isArray(failed)) {
    const what = Array.isArray(returned) ? 'an array' : `a value of type ${typeof returned}`;
    throw new TypeError(`A batch handler returned ${what} without "failed". ${WHAT_TO_RETURN}`);
  }
  return new Map(
    (failed as readonly (Partial<BatchFailure> | null | undefined)[]).map((failure) => {
      const { event, error } = failure ?? {};
      if (event !== undefined && eventIds.has(event.eventId)) return [event.eventId, error];
      throw new TypeError(
        `A batch handler reported an event as failed that it did not get. ${WHAT_TO_RETURN}`,
      );
    }),
  );
}
