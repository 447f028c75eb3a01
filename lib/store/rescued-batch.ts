import type { ChunkedRef, LoggedEvent, RescuedBatch } from './event-store.js';

/**
 * What a look for overdue deliveries took, with their events.
 *
 * @param events those that the log has; one may stand there for several deliveries, or several times
 */
export function toRescuedBatch(
  taken: readonly ChunkedRef[],
  events: readonly LoggedEvent[],
  batchSize: number,
): RescuedBatch {
  const byPosition = new Map(events.map((event) => [event.position, event]));
  return {
    deliveries: taken.flatMap((ref) => {
      const event = byPosition.get(ref.position);
      return event === undefined ? [] : [{ ...ref, event }];
    }),
    lost: taken.filter(({ position }) => !byPosition.has(position)),
    full: taken.length >= batchSize,
  };
}
