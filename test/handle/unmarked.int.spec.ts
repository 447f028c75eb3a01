import { defineEvent } from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { unmarkedMs } from '../../lib/handle/waits.js';
import { readDeliveries } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { countSignals, nextSignal, recordSignals } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';

const Placed = defineEvent<{ n: number }>('placed');

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

describe('a delivery whose outcome the database refuses to take', () => {
  it.each(['completed', 'queued'])('is told as an error, and waits longer: %s', async (outcome) => {
    const namespace = newNamespace();
    const app = await startApp({
      url: backends.database.url,
      events: {
        namespace,
        queue: backends.redis,
        relay: { pollInterval: '50ms' },
        defaults: { attempts: 3, backoff: 5 },
      },
      providers: [
        onEvent(Placed, { id: 'works' }, () => {
          if (outcome === 'queued') throw new Error('it fails');
        }),
      ],
    });
    const refuse = `${namespace}_refuses`;
    await app.dataSource.query(
      `ALTER TABLE events_deliveries ADD CONSTRAINT ${refuse} CHECK (namespace <> '${namespace}'
        OR last_attempt_at IS NULL OR status <> '${outcome}')`,
    );
    const postponed = recordSignals(app.signals, 'delivery.postponed');
    const unmarked = countSignals(app.signals, 'delivery.unmarked', 2);
    await emitIn(app, Placed, { n: 1 });
    const [first, second] = await unmarked;
    expect(first?.retryInMs).toBeGreaterThanOrEqual(1_000);
    expect(second?.retryInMs).toBeGreaterThanOrEqual(2_000);
    expect(String(first?.error)).toMatch(refuse);
    expect(postponed).toEqual([]);
    const end = nextSignal(
      app.signals,
      outcome === 'completed' ? 'delivery.completed' : 'delivery.dead',
    );
    await app.dataSource.query(`ALTER TABLE events_deliveries DROP CONSTRAINT ${refuse}`);
    await end;
    expect(await readDeliveries(app.dataSource, namespace)).toHaveLength(1);
  });

  it('waits an hour at most', () => {
    const waits = [0, 5, 11, 40].map(unmarkedMs);
    expect(waits[1]).toBeGreaterThanOrEqual(32_000);
    for (const wait of waits.slice(2)) {
      expect(wait).toBeGreaterThanOrEqual(1_800_000);
      expect(wait).toBeLessThanOrEqual(3_600_000);
    }
  });
});
