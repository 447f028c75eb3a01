import type { DeliveryRef } from './event-store.js';

/** Deliveries in the order of {@link lockOrder}. */
export function inLockOrder<Ref extends DeliveryRef>(refs: readonly Ref[]): Ref[] {
  return lockOrder(refs).map((index) => refs[index] as Ref);
}

/**
 * The indexes of deliveries in the order in which statements are to take their rows: two that share some
 * (a job that ran twice) would deadlock in others. (A plan may choose another one; whoever loses the
 * deadlock is repeated, or run again without an attempt being counted.)
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
