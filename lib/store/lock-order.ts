import type { DeliveryRef } from './event-store.js';

/**
 * The indexes of deliveries in the order in which every statement takes their rows: two statements
 * that share some (a job that ran twice) must not deadlock.
 */
export function lockOrder(refs: readonly DeliveryRef[]): number[] {
  return refs
    .map((_ref, index) => index)
    .toSorted((one, other) => {
      const [a, b] = [refs[one] as DeliveryRef, refs[other] as DeliveryRef];
      return compareKeys(a, b) || one - other;
    });
}

type DeliveryKey = Pick<DeliveryRef, 'position' | 'handler'>;

/** The order of the primary key. */
export function compareKeys(a: DeliveryKey, b: DeliveryKey): number {
  if (a.position !== b.position) return a.position - b.position;
  if (a.handler === b.handler) return 0;
  return a.handler < b.handler ? -1 : 1;
}
