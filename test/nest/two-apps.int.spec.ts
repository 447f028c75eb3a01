import {
  defineEvent,
  EventTransactionRequiredError,
  WrongDataSourceError,
} from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QUEUE_KINDS } from '../support/bull.js';
import { readPositions } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { countSignals, nextSignal, recordSignals } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestApp, type TestBackends } from '../support/test-app.js';

const Happened = defineEvent<{ n: number }>('happened');

let backends: TestBackends;
let elsewhere: TestBackends;
beforeAll(async () => {
  [backends, elsewhere] = await Promise.all([createTestBackends(), createTestBackends()]);
});
afterAll(() => Promise.all([backends.drop(), elsewhere.drop()]));

describe.each(QUEUE_KINDS)('E6: two apps in one process, on BullMQ with %s', (kind) => {
  async function start(at: TestBackends, namespace: string, handled: number[]): Promise<TestApp> {
    return startApp({
      url: at.database.url,
      events: { namespace, queue: at[kind], relay: { pollInterval: '20d' } },
      providers: [onEvent(Happened, { id: 'noted' }, ({ data }) => handled.push(data.n))],
    });
  }

  it.each(['two namespaces of one database', 'two databases'])(
    'have nothing to do with each other: %s',
    async (where) => {
      const handled: [number[], number[]] = [[], []];
      const namespaces = [newNamespace(), newNamespace()] as const;
      const one = await start(backends, namespaces[0], handled[0]);
      const two = await start(
        where === 'two databases' ? elsewhere : backends,
        namespaces[1],
        handled[1],
      );
      const signals = [one, two].map((app) => recordSignals(app.signals, 'event.emitted'));
      const completed = [one, two].map((app) => nextSignal(app.signals, 'delivery.completed'));
      // Each finds its own transaction, also inside of the other's, and wakes its own relay.
      await one.dataSource.transaction(async () => {
        await expect(two.bus.emit(Happened, { n: 0 })).rejects.toBeInstanceOf(
          EventTransactionRequiredError,
        );
        await two.dataSource.transaction(async (manager) => {
          await one.bus.emit(Happened, { n: 1 });
          await two.bus.emit(Happened, { n: 2 });
          await expect(one.bus.emit(Happened, { n: 0 }, { manager })).rejects.toBeInstanceOf(
            WrongDataSourceError,
          );
        });
      });
      await Promise.all(completed);
      expect(handled).toEqual([[1], [2]]);
      expect(signals.map((seen) => seen.length)).toEqual([1, 1]);
      for (const [index, app] of [one, two].entries()) {
        expect(await readPositions(app.dataSource, namespaces[index]!)).toEqual([1]);
      }
      // The end of one is none of the other.
      await one.close();
      const again = nextSignal(two.signals, 'delivery.completed');
      await emitIn(two, Happened, { n: 3 });
      await again;
      expect(handled).toEqual([[1], [2, 3]]);
    },
  );

  it('share the work of one namespace', async () => {
    const handled: number[] = [];
    const namespace = newNamespace();
    const one = await start(backends, namespace, handled);
    const two = await start(backends, namespace, handled);
    await one.close();
    const completed = countSignals(two.signals, 'delivery.completed', 2);
    await emitIn(two, Happened, { n: 1 });
    await emitIn(two, Happened, { n: 2 });
    await completed;
    expect(handled).toHaveLength(2);
  });
});
