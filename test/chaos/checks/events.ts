import type { Job } from '../chaos-queue.js';
import { deliveryName, groupBy } from './group-by.js';
import type { Invariant } from './invariant.js';
import type { EventRow } from './snapshot.js';

const placed = (events: readonly EventRow[]) =>
  events.filter(({ name }) => name === 'order.placed');

export const businessRowIffEvent: Invariant = {
  id: 1,
  title: 'a business row exists if and only if its events do',
  check({ snapshot: { orders, events } }) {
    const ofOrder = groupBy(placed(events), ({ orderId }) => orderId);
    const violations: string[] = [];
    for (const { id, shape, events: expected } of orders) {
      const found = ofOrder.get(id)?.length ?? 0;
      ofOrder.delete(id);
      if (found !== expected) {
        violations.push(`order ${id} (${shape}) has ${found} of its ${expected} events`);
      }
      if (shape === 'rollback') violations.push(`order ${id} was rolled back, but is there`);
    }
    for (const [id, [event]] of ofOrder) {
      violations.push(`event ${event?.eventId} has no order ${id}`);
    }
    return { figures: `${orders.length} orders, ${placed(events).length} events`, violations };
  },
};

export const sameData: Invariant = {
  id: 6,
  title: 'handlers get the data that was emitted',
  check({ snapshot: { orders, effects } }) {
    const byId = new Map(orders.map((order) => [order.id, order]));
    const violations = effects
      .filter(({ intact, orderId, n, checksum }) => {
        const order = byId.get(orderId);
        return !intact || (order !== undefined && order.checksums[n] !== checksum);
      })
      .map(({ eventId, handler }) => `event ${eventId} reached handler ${handler} changed`);
    return { figures: `${effects.length} effects`, violations };
  },
};

export const gapFreePositions: Invariant = {
  id: 8,
  title: 'positions are gap-free, and a reader misses none',
  async check({ system: { observer }, snapshot }) {
    await observer.readOn();
    const positions = snapshot.events.flatMap(({ position }) => position ?? []);
    const last = positions.reduce((most, position) => Math.max(most, position), 0);
    const violations = observer.problems.filter((problem) => problem.includes('reader'));
    if (positions.length !== last) {
      violations.push(`${positions.length} events, but the last position is ${last}`);
    }
    if (observer.cursor !== last) {
      violations.push(`a reader came to ${observer.cursor}, the log to ${last}`);
    }
    return { figures: `1…${last}`, violations };
  },
};

export const idempotencyKeys: Invariant = {
  id: 11,
  title: 'one event per idempotency key; a delivery keeps its key',
  check({ snapshot: { orders, events, effects, keys } }) {
    const ofOrder = groupBy(placed(events), ({ orderId }) => orderId);
    const exists = new Set(events.map(({ eventId }) => eventId));
    const ofDelivery = groupBy(effects, ({ eventId, handler }) => `${eventId}, handler ${handler}`);
    const violations = [
      ...orders
        .filter(({ shape, id }) => shape === 'keyed' && (ofOrder.get(id)?.length ?? 1) !== 1)
        .map(({ id }) => `order ${id}: ${ofOrder.get(id)?.length} events for its key`),
      ...keys
        .filter(({ eventId }) => !exists.has(eventId))
        .map(({ name, eventId }) => `key ${name} leads to event ${eventId}, which does not exist`),
      ...[...ofDelivery]
        .map(([name, list]) => ({ name, count: new Set(list.map((e) => e.idempotencyKey)).size }))
        .filter(({ count }) => count > 1)
        .map(({ name, count }) => `event ${name}: ${count} delivery keys`),
    ];
    return { figures: `${keys.length} keys`, violations };
  },
};

/** Jobs of deliveries that are not in the database (yet): nobody may see such a job. */
export function jobsWithoutDelivery(
  jobs: readonly Pick<Job, 'id' | 'data'>[],
  deliveries: readonly { readonly position: number; readonly handler: string }[],
): string[] {
  const known = new Set(deliveries.map((each) => deliveryName(each)));
  return jobs
    .filter(({ data }) => {
      const { handler, deliveries: carried } = data;
      return carried.some(({ position }) => !known.has(deliveryName({ position, handler })));
    })
    .map(({ id }) => id);
}
