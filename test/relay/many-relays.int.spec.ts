import { defineEvent } from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QUEUE_KINDS } from '../support/bull.js';
import { readDeliveries, readPositions, upTo } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { recordSignals } from '../support/signals.js';
import { countAcross, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';

const Counted = defineEvent<{ n: number }>('counted');
const EVENTS = 1_000;
const CALLERS = 10;
const HANDLERS = ['first', 'second'];
/** Takes 5 s; a machine with other things to do may take long. */
const TIMEOUT_MS = 60_000;

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

describe.each(QUEUE_KINDS)('three relays on one database, on BullMQ with %s', (kind) => {
  it(
    'C1: 1,000 events of 10 concurrent callers are handled once per handler, at positions 1 to 1,000',
    async () => {
      const namespace = newNamespace();
      const runs = new Map<string, number>();
      const start = () =>
        startApp({
          url: backends.database.url,
          // Three pools of ten are a third of what a PostgreSQL allows by default.
          dataSource: { poolSize: 5 },
          events: { namespace, queue: backends[kind] },
          providers: HANDLERS.map((id) =>
            onEvent(Counted, { id }, ({ eventId }) => {
              const run = `${eventId} ${id}`;
              runs.set(run, (runs.get(run) ?? 0) + 1);
            }),
          ),
        });
      const apps = [await start(), await start(), await start()];
      const passes = apps.map(({ signals }) => recordSignals(signals, 'relay.moved'));
      const completed = countAcross(
        apps,
        'delivery.completed',
        EVENTS * HANDLERS.length,
        TIMEOUT_MS,
      );

      const emitted = await Promise.all(
        upTo(CALLERS).map(async (caller) => {
          const { dataSource, bus } = apps[caller % apps.length]!;
          const ids: string[] = [];
          // Transactions of 1, 2, 3, 4, 1, … events, until this caller's share is reached.
          for (let size = 1; ids.length < EVENTS / CALLERS; size = (size % 4) + 1) {
            const share = Math.min(size, EVENTS / CALLERS - ids.length);
            await dataSource.transaction(async () => {
              for (const n of upTo(share)) ids.push((await bus.emit(Counted, { n })).eventId);
            });
          }
          return ids;
        }),
      );
      await completed;

      const expected = emitted
        .flat()
        .flatMap((id) => HANDLERS.map((handler) => `${id} ${handler}`));
      expect(expected).toHaveLength(EVENTS * HANDLERS.length);
      expect(expected.filter((run) => runs.get(run) !== 1)).toEqual([]);
      expect(runs.size).toBe(expected.length);
      const { dataSource } = apps[0]!;
      expect(await readPositions(dataSource, namespace)).toEqual(upTo(EVENTS));
      const deliveries = await readDeliveries(dataSource, namespace);
      expect(deliveries).toHaveLength(expected.length);
      expect(deliveries.filter((row) => row.status !== 'completed' || row.attempts !== 1)).toEqual(
        [],
      );
      // Else this would say nothing about relays in each other's way.
      expect(passes.filter((moved) => moved.length > 0).length).toBeGreaterThan(1);
    },
    TIMEOUT_MS,
  );
});
