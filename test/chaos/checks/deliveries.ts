import { flakyPlan, HANDLERS, MAX_ATTEMPTS, SUBSCRIPTIONS } from '../app/orders.js';
import { find, one, type Invariant } from './invariant.js';

const EVENT_NAMES = Object.entries(SUBSCRIPTIONS).flatMap(([name, list]) => list.map(() => name));
const HANDLER_IDS = Object.values(SUBSCRIPTIONS).flat();

export const oneDeliveryEach: Invariant = {
  id: 2,
  title: 'each event × handler has one delivery, completed or dead',
  async check({ system }) {
    const counts = await one<Record<'all' | 'completed' | 'dead', number>>(
      system,
      `SELECT count(*)::integer AS "all",
          count(*) FILTER (WHERE status = 'completed')::integer AS completed,
          count(*) FILTER (WHERE status = 'dead')::integer AS dead FROM events_deliveries`,
    );
    const wrong = await find(
      system,
      `WITH expected AS (
        SELECT position, handler FROM events_log
          JOIN unnest($1::text[], $2::text[]) AS s(event, handler) ON s.event = name
      )
      SELECT format('event at %s has no delivery to %s', position, handler) AS what
        FROM (SELECT * FROM expected EXCEPT SELECT position, handler FROM events_deliveries) AS lost
      UNION ALL
      SELECT format('delivery %s/%s has no event', position, handler)
        FROM (SELECT position, handler FROM events_deliveries EXCEPT SELECT * FROM expected) AS extra
      UNION ALL
      SELECT format('delivery %s/%s is still %s (epoch %s, attempts %s, rescue at %s)', position,
          handler, status, epoch, attempts, rescue_at)
        FROM events_deliveries WHERE status NOT IN ('completed', 'dead')
      UNION ALL
      SELECT format('event %s is still in the outbox', event_id) FROM events_outbox`,
      [EVENT_NAMES, HANDLER_IDS],
    );
    const { all, completed, dead } = counts;
    return {
      figures: `${all} deliveries: ${completed} completed, ${dead} dead`,
      violations: wrong,
    };
  },
};

export const effectsMatch: Invariant = {
  id: 3,
  title: 'effects match deliveries; transactional ones exactly',
  async check({ system }) {
    const { plain, tx } = await one<{ plain: number; tx: number }>(
      system,
      `SELECT count(*) FILTER (WHERE handler <> $1)::integer AS plain,
        count(*) FILTER (WHERE handler = $1)::integer AS tx FROM effects`,
      [HANDLERS.tx],
    );
    const wrong = await find(
      system,
      `SELECT format('effect %s of handler %s: there is no event %s', id, handler, event_id) AS what
        FROM effects AS f WHERE NOT EXISTS (SELECT FROM events_log WHERE event_id = f.event_id)
      UNION ALL
      SELECT format('delivery %s/%s (event %s) is completed without an effect', d.position, d.handler,
          l.event_id)
        FROM events_deliveries AS d JOIN events_log AS l USING (position)
        WHERE d.status = 'completed' AND NOT EXISTS (
          SELECT FROM effects AS f WHERE f.event_id = l.event_id AND f.handler = d.handler)
      UNION ALL
      SELECT format('transactional handler, event %s at %s: %s effects, by %s', f.event_id, l.position,
          count(*), string_agg(f.child || ' at ' || f.at::time, ', '))
        FROM effects AS f JOIN events_log AS l USING (event_id)
        WHERE f.handler = $1 GROUP BY f.event_id, l.position HAVING count(*) > 1
      UNION ALL
      SELECT format('transactional handler, event at %s: an effect, but the delivery is %s', l.position,
          d.status)
        FROM effects AS f JOIN events_log AS l USING (event_id)
          JOIN events_deliveries AS d ON d.position = l.position AND d.handler = f.handler
        WHERE f.handler = $1 AND d.status <> 'completed'
      UNION ALL
      SELECT format('order %s event %s: %s transactional effects, but %s follow-up events', order_id, n,
          effects, follow_ups)
        FROM (SELECT order_id, n, count(*) AS effects FROM effects WHERE handler = $1
          GROUP BY order_id, n) AS e
        FULL JOIN (SELECT data->>'orderId' AS order_id, (data->>'n')::integer AS n,
          count(*) AS follow_ups FROM events_log WHERE name = 'order.followed' GROUP BY 1, 2) AS u
          USING (order_id, n)
        WHERE effects IS DISTINCT FROM follow_ups`,
      [HANDLERS.tx],
    );
    return { figures: `${tx} transactional, ${plain} others`, violations: wrong };
  },
};

export const forbiddenTransitions: Invariant = {
  id: 4,
  title: 'what is done stays done; attempts only grow',
  async check({ system }) {
    const wrong = await find(system, 'SELECT what FROM chaos_breaches ORDER BY id');
    const { attempts } = await one<{ attempts: number }>(
      system,
      'SELECT coalesce(sum(attempts), 0)::integer AS attempts FROM events_deliveries',
    );
    return { figures: `${attempts} attempts`, violations: wrong };
  },
};

export const deadForAReason: Invariant = {
  id: 5,
  title: 'dead for a reason; outages cost no attempt',
  async check({ system }) {
    const dead = await system.admin.query<{
      position: string;
      handler: string;
      attempts: number;
      order_id: string;
      n: number;
      last_error: string;
    }>(
      `SELECT d.position, d.handler, d.attempts, l.data->>'orderId' AS order_id,
          (l.data->>'n')::integer AS n, d.last_error
        FROM events_deliveries AS d JOIN events_log AS l USING (position) WHERE d.status = 'dead'`,
    );
    const violations = dead.flatMap(({ position, handler, attempts, order_id, n, last_error }) => {
      const plan = flakyPlan(order_id, n);
      const planned = handler === HANDLERS.flaky && plan.fails === Infinity;
      const exhausted = attempts === MAX_ATTEMPTS || plan.unrecoverable;
      if (planned && exhausted) return [];
      const why = last_error.split('\n')[0];
      return [`delivery ${position}/${handler} is dead after ${attempts} attempts: ${why}`];
    });
    const unplanned = await find(
      system,
      `SELECT format('delivery %s/%s, an attempt was counted as failed: %s', position, handler,
          split_part(last_error, E'\\n', 1)) AS what
        FROM events_deliveries WHERE last_error NOT LIKE '%planned:%' ORDER BY last_attempt_at`,
    );
    return { figures: `${dead.length} dead`, violations: [...violations, ...unplanned] };
  },
};
