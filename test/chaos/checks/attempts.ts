import { FLAKY, flakyPlan, MAX_ATTEMPTS, type FlakyPlan } from '../app/orders.js';
import { deliveryName } from './group-by.js';
import type { Invariant } from './invariant.js';
import type { AttemptRow, DeliveryRow } from './snapshot.js';

const SUCCEEDS: FlakyPlan = { fails: 0, unrecoverable: false };

/** An outage that costs an attempt shows in its error, and in the number of attempts. */
export const deadForAReason: Invariant = {
  id: 5,
  title: 'dead for a reason; outages cost no attempt',
  check({ snapshot: { events, deliveries, attempts } }) {
    const at = new Map(events.map((event) => [event.position, event]));
    const ended = deliveries.filter(({ status }) => status !== 'queued');
    const miscounted = ended.filter((delivery) => {
      const event = at.get(delivery.position);
      const planned = event !== undefined && FLAKY.includes(delivery.handler);
      const plan = planned ? flakyPlan(event.orderId, event.n) : SUCCEEDS;
      return delivery.status === 'completed'
        ? // Attempts are counted on over redrives, and the plan goes by that count.
          delivery.attempts !== plan.fails + 1
        : !isDeadByPlan(delivery, plan);
    });
    const unplanned = attempts.filter(isUnplanned);
    const dead = ended.filter(({ status }) => status !== 'completed').length;
    return {
      figures: `${dead} dead, ${attempts.length} failed attempts`,
      violations: [
        ...miscounted.map(
          (each) =>
            `delivery ${deliveryName(each)} is ${each.status} after ${each.attempts} of ` +
            `${each.maxAttempts} attempts in epoch ${each.epoch}, which is not planned`,
        ),
        ...unplanned.map(
          (each) =>
            `delivery ${deliveryName(each)}, attempt ${each.attempt} was counted as failed: ` +
            each.error.split('\n')[0],
        ),
      ],
    };
  },
};

function isDeadByPlan({ attempts, maxAttempts, epoch }: DeliveryRow, plan: FlakyPlan): boolean {
  if (plan.fails !== Infinity) return false;
  // A redrive gives as many attempts again; one that can't be helped takes one of them.
  const expected = (epoch + 1) * (plan.unrecoverable ? 1 : MAX_ATTEMPTS);
  return attempts === expected && (plan.unrecoverable || attempts === maxAttempts);
}

function isUnplanned({ handler, error }: AttemptRow): boolean {
  return !FLAKY.includes(handler) || !error.includes('planned:');
}
