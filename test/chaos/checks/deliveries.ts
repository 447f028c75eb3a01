import { SUBSCRIPTIONS } from '../app/orders.js';
import { deliveryName } from './group-by.js';
import type { Invariant } from './invariant.js';

export const oneDeliveryEach: Invariant = {
  id: 2,
  title: 'each event × handler has one delivery, completed, dead or discarded',
  check({ snapshot: { events, deliveries } }) {
    const logged = events.filter(({ position }) => position !== undefined);
    const expected = new Set(
      logged.flatMap(({ name, position }) =>
        (SUBSCRIPTIONS[name] ?? []).map((handler) => deliveryName({ position, handler })),
      ),
    );
    const found = new Set(deliveries.map(deliveryName));
    const queued = deliveries.filter(({ status }) => status === 'queued');
    const violations = [
      ...[...expected].filter((name) => !found.has(name)).map((name) => `no delivery ${name}`),
      ...[...found]
        .filter((name) => !expected.has(name))
        .map((name) => `delivery ${name} has no event, or its event no such handler`),
      ...queued.map(
        (each) =>
          `delivery ${deliveryName(each)} is still queued (epoch ${each.epoch}, ` +
          `attempts ${each.attempts})`,
      ),
      ...events
        .filter(({ position }) => position === undefined)
        .map(({ eventId }) => `event ${eventId} is still in the outbox`),
    ];
    const [completed, dead, discarded] = ['completed', 'dead', 'discarded'].map(
      (wanted) => deliveries.filter(({ status }) => status === wanted).length,
    );
    return {
      figures:
        `${deliveries.length} deliveries: ${completed} completed, ${dead} dead, ` +
        `${discarded} discarded`,
      violations,
    };
  },
};

export const forbiddenTransitions: Invariant = {
  id: 4,
  title: 'what is done stays done; attempts only grow',
  check({ snapshot: { deliveries, breaches } }) {
    const attempts = deliveries.reduce((sum, each) => sum + each.attempts, 0);
    return { figures: `${attempts} attempts`, violations: breaches };
  },
};
