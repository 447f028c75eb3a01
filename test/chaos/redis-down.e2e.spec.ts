import { setTimeout as delay } from 'node:timers/promises';
import { defineEvent } from 'nestjs-durable-events';
import { expect, it, onTestFinished } from 'vitest';
import { ownServer } from '../process/servers.js';
import { createTestDatabase } from '../support/database.js';
import { onEvent } from '../support/inline-handler.js';
import { startRedis } from '../support/services.js';
import { nextSignal, recordSignals } from '../support/signals.js';
import { emitIn, startApp } from '../support/start-app.js';
import { eventually } from '../support/wait.js';

const Placed = defineEvent<{ n: number }>('order.placed');

const DOWN_MS = 60_000;
/** Between two emits: 100 a second. */
const EMIT_EVERY_MS = 10;

it(
  'D4: Redis is down for 60 s under load: emits go on, all is drained after, no attempt is used up',
  { timeout: DOWN_MS + 90_000 },
  async () => {
    const database = await createTestDatabase();
    onTestFinished(() => database.drop());
    const redis = await ownServer(startRedis);
    let handled = 0;
    const app = await startApp({
      url: database.url,
      events: { queue: { redis: redis.url }, defaults: { attempts: 1 } },
      providers: [
        onEvent(Placed, { id: 'counted' }, () => {
          handled++;
        }),
      ],
    });
    const unavailable = recordSignals(app.signals, 'queue.unavailable');
    const failed = recordSignals(app.signals, 'delivery.failed');
    const died = recordSignals(app.signals, 'delivery.dead');
    const load = startLoad((n) => emitIn(app, Placed, { n }));
    await eventually(() => handled > 50, { what: 'some are handled' });

    const down = nextSignal(app.signals, 'queue.unavailable');
    await redis.kill();
    await down;
    const [emittedBefore, handledBefore] = [load.emitted(), handled];
    await delay(DOWN_MS);
    const emittedMeanwhile = load.emitted() - emittedBefore;
    expect(emittedMeanwhile).toBeGreaterThan(DOWN_MS / EMIT_EVERY_MS / 4);
    expect(handled - handledBefore).toBeLessThan(100);
    expect((await app.health.check()).queue.reachable).toBe(false);

    const back = performance.now();
    await redis.restart();
    const emitted = await load.stop();
    await eventually(async () => (await app.health.check()).ledger.completed === emitted, {
      what: 'all is drained',
      timeout: 60_000,
    });
    const drainedMs = Math.round(performance.now() - back);
    console.log(
      `${emittedMeanwhile} events emitted while Redis was down, drained ${drainedMs} ms after`,
    );
    expect([...failed, ...died]).toEqual([]);
    expect(unavailable.length).toBeLessThan(5);
    expect((await app.health.check()).ledger).toMatchObject({
      delivered: emitted,
      dead: 0,
      queued: 0,
      difference: 0,
    });
  },
);

/** One emit after the other; each must succeed. */
function startLoad(emit: (n: number) => Promise<unknown>) {
  let emitted = 0;
  let on = true;
  const running = (async () => {
    while (on) {
      await emit(emitted + 1);
      emitted++;
      await delay(EMIT_EVERY_MS);
    }
  })();
  return {
    emitted: () => emitted,
    stop: async () => {
      on = false;
      await running;
      return emitted;
    },
  };
}
