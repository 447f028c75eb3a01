import { TRANSACTIONAL, HANDLERS } from '../app/orders.js';
import { deliveryName, groupBy } from './group-by.js';
import type { Invariant } from './invariant.js';
import type { DeliveryRow, EffectRow, EventRow, Snapshot } from './snapshot.js';

export const effectsMatch: Invariant = {
  id: 3,
  title: 'effects match deliveries; transactional ones exactly',
  check({ snapshot }) {
    const { effects, events, deliveries } = snapshot;
    const logged = new Map(
      events.filter((e) => e.position !== undefined).map((e) => [e.eventId, e]),
    );
    const ofDelivery = groupBy(effects, ({ eventId, handler }) =>
      deliveryName({ position: logged.get(eventId)?.position, handler }),
    );
    const violations = [
      ...effects
        .filter(({ eventId }) => !logged.has(eventId))
        .map(
          ({ id, handler, eventId }) => `effect ${id} of ${handler}: there is no event ${eventId}`,
        ),
      ...deliveries.flatMap((each) => wrongEffects(each, ofDelivery.get(deliveryName(each)) ?? [])),
      ...wrongFollowUps(snapshot),
    ];
    const exact = effects.filter(({ handler }) => TRANSACTIONAL.includes(handler)).length;
    return { figures: `${exact} transactional, ${effects.length - exact} others`, violations };
  },
};

function wrongEffects(delivery: DeliveryRow, effects: readonly EffectRow[]): string[] {
  const { handler, status, attempts } = delivery;
  const what = `delivery ${deliveryName(delivery)} (${status})`;
  const by = effects.map(({ child, attempt }) => `${child} in attempt ${attempt}`).join(', ');
  const wrong: string[] = [];
  const completed = status === 'completed';
  if (completed && effects.length === 0) wrong.push(`${what} has no effect`);
  // The attempt that completed it must have done the work: none of an epoch before may do it.
  else if (completed && !effects.some(({ attempt }) => attempt === attempts)) {
    wrong.push(`${what} was completed by attempt ${attempts}, but its effects are by ${by}`);
  }
  if (TRANSACTIONAL.includes(handler)) {
    if (effects.length > 1) wrong.push(`${what} has ${effects.length} effects, by ${by}`);
    if (!completed && effects.length > 0) wrong.push(`${what} has an effect, by ${by}`);
  }
  return wrong;
}

/** The transactional handler emits one event each time, in its transaction. */
function wrongFollowUps({ effects, events }: Snapshot): string[] {
  const nameOf = ({ orderId, n }: EventRow | EffectRow) => `order ${orderId} event ${n}`;
  const done = groupBy(
    effects.filter(({ handler }) => handler === HANDLERS.tx),
    nameOf,
  );
  const followed = groupBy(
    events.filter(({ name, position }) => name === 'order.followed' && position !== undefined),
    nameOf,
  );
  const names = new Set([...done.keys(), ...followed.keys()]);
  return [...names]
    .map((name) => [name, done.get(name)?.length ?? 0, followed.get(name)?.length ?? 0] as const)
    .filter(([, effect, followUps]) => effect !== followUps)
    .map(
      ([name, effect, followUps]) =>
        `${name}: ${effect} transactional effects, but ${followUps} follow-up events`,
    );
}
