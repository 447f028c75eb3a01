import { find, one, type Invariant } from './invariant.js';

/** All committed events, wherever they are. */
const EVENTS = `(
  SELECT event_id, name, data, position FROM events_log
  UNION ALL SELECT event_id, name, data, NULL FROM events_outbox
)`;

export const businessRowIffEvent: Invariant = {
  id: 1,
  title: 'a business row exists if and only if its events do',
  async check({ system }) {
    const { orders, events } = await one<{ orders: number; events: number }>(
      system,
      `SELECT (SELECT count(*)::integer FROM orders) AS orders,
        (SELECT count(*)::integer FROM ${EVENTS} AS e WHERE name = 'order.placed') AS events`,
    );
    const wrong = await find(
      system,
      `SELECT format('order %s (%s) has %s of its %s events', o.id, o.shape, count(e.event_id), o.events)
          AS what
        FROM orders AS o LEFT JOIN ${EVENTS} AS e
          ON e.name = 'order.placed' AND e.data->>'orderId' = o.id
        GROUP BY o.id HAVING count(e.event_id) <> o.events
      UNION ALL
      SELECT format('event %s has no order %s', e.event_id, e.data->>'orderId')
        FROM ${EVENTS} AS e WHERE NOT EXISTS (SELECT FROM orders WHERE id = e.data->>'orderId')
      UNION ALL
      SELECT format('order %s (%s) was rolled back, but is there', id, shape) FROM orders
        WHERE shape = 'rollback'`,
    );
    return { figures: `${orders} orders, ${events} events`, violations: wrong };
  },
};

export const sameData: Invariant = {
  id: 6,
  title: 'handlers get the data that was emitted',
  async check({ system }) {
    const { effects } = await one<{ effects: number }>(
      system,
      'SELECT count(*)::integer AS effects FROM effects',
    );
    const wrong = await find(
      system,
      `SELECT format('event %s reached handler %s changed', f.event_id, f.handler) AS what
        FROM effects AS f JOIN orders AS o ON o.id = f.order_id
        WHERE NOT f.intact OR o.checksums[f.n + 1] IS DISTINCT FROM f.checksum`,
    );
    return { figures: `${effects} effects`, violations: wrong };
  },
};

export const gapFreePositions: Invariant = {
  id: 8,
  title: 'positions are gap-free, and a reader misses none',
  async check({ system }) {
    await system.observer.readOn();
    const { events, last } = await one<{ events: number; last: number }>(
      system,
      `SELECT count(*)::integer AS events, coalesce(max(position), 0)::integer AS last FROM events_log`,
    );
    const { cursor, problems } = system.observer;
    const violations = problems.filter((problem) => problem.includes('reader'));
    if (events !== last) violations.push(`${events} events, but the last position is ${last}`);
    if (cursor !== last) violations.push(`a reader came to ${cursor}, the log to ${last}`);
    return { figures: `1…${last}`, violations };
  },
};

export const idempotencyKeys: Invariant = {
  id: 11,
  title: 'one event per idempotency key; a delivery keeps its key',
  async check({ system }) {
    const { keys } = await one<{ keys: number }>(
      system,
      'SELECT count(*)::integer AS keys FROM events_idempotency',
    );
    const wrong = await find(
      system,
      `SELECT format('order %s: %s events for its key', o.id, count(*)) AS what
        FROM orders AS o JOIN ${EVENTS} AS e
          ON e.name = 'order.placed' AND e.data->>'orderId' = o.id
        WHERE o.shape = 'keyed' GROUP BY o.id HAVING count(*) <> 1
      UNION ALL
      SELECT format('key %s leads to event %s, which does not exist', i.key, i.event_id)
        FROM events_idempotency AS i
        WHERE NOT EXISTS (SELECT FROM ${EVENTS} AS e WHERE e.event_id = i.event_id)
      UNION ALL
      SELECT format('event %s, handler %s: %s delivery keys', event_id, handler,
          count(DISTINCT idempotency_key))
        FROM effects GROUP BY event_id, handler HAVING count(DISTINCT idempotency_key) > 1`,
    );
    return { figures: `${keys} keys`, violations: wrong };
  },
};
