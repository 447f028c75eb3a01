import { Injectable } from '@nestjs/common';
import { Interval, ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';
import { defineEvent } from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { onEvent } from '../support/inline-handler.js';
import { nextSignal } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';
import { deferred } from '../support/wait.js';

const Happened = defineEvent('happened');
const PERIOD_MS = 40;
const TICKS = 8;

@Injectable()
class Ticker {
  static ticked: () => void = () => undefined;

  @Interval('ticker', PERIOD_MS)
  tick(): void {
    Ticker.ticked();
  }
}

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

const handler = onEvent(Happened, { id: 'noted' }, () => undefined);

describe('with ScheduleModule in the app', () => {
  it("the library's timers are in its registry, by name, until the app is closed", async () => {
    const namespace = newNamespace();
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends.redis },
      imports: [ScheduleModule.forRoot()],
      providers: [Ticker, handler],
    });
    const registry = app.context.get(SchedulerRegistry);
    const names = ['handlers', 'queue-watch', 'relay', 'rescue'].map(
      (what) => `events:${namespace}:${what}`,
    );
    expect(registry.getIntervals().toSorted()).toEqual([...names, 'ticker'].toSorted());
    const completed = nextSignal(app.signals, 'delivery.completed');
    await emitIn(app, Happened);
    await completed;
    await app.close();
    expect(registry.getIntervals().filter((name) => name.startsWith('events:'))).toEqual([]);
  });

  it("the app's own jobs run once per period, not twice", async () => {
    let ticks = 0;
    const enough = deferred();
    Ticker.ticked = () => {
      if (++ticks === TICKS) enough.resolve();
    };
    const starting = performance.now();
    await startApp({
      url: backends.database.url,
      events: { namespace: newNamespace(), queue: backends.redis },
      imports: [ScheduleModule.forRoot()],
      providers: [Ticker],
    });
    await enough.promise;
    // Twice as many would be there after half the time. Timers are late under load, never early.
    expect(performance.now() - starting).toBeGreaterThan(TICKS * PERIOD_MS * 0.9);
  });

  it('a timer that the app has deleted is no trouble at the end', async () => {
    const namespace = newNamespace();
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends.redis },
      imports: [ScheduleModule.forRoot()],
    });
    app.context.get(SchedulerRegistry).deleteInterval(`events:${namespace}:relay`);
    await expect(app.close()).resolves.toBeUndefined();
  });
});

describe('without it', () => {
  it('the library keeps a registry of its own, which nobody else gets', async () => {
    const app = await startApp({
      url: backends.database.url,
      events: { namespace: newNamespace(), queue: backends.redis },
      providers: [handler],
    });
    expect(() => app.context.get(SchedulerRegistry)).toThrow(/does not exist/);
    const completed = nextSignal(app.signals, 'delivery.completed');
    await emitIn(app, Happened);
    await completed;
  });
});

it.each([
  ['with', [ScheduleModule.forRoot()]],
  ['without', []],
])('no timer of the library is left after close, %s ScheduleModule', async (_with, imports) => {
  const set = vi.spyOn(globalThis, 'setInterval');
  const cleared = vi.spyOn(globalThis, 'clearInterval');
  onTestFinished(() => {
    vi.restoreAllMocks();
  });
  const app = await startApp({
    url: backends.database.url,
    events: {
      namespace: newNamespace(),
      queue: backends.redis,
      relay: { pollInterval: 12_345 },
      rescue: { interval: 23_456 },
    },
    imports,
    providers: [handler],
  });
  const ours = set.mock.results
    .filter((_result, index) =>
      [12_345, 23_456, 60_000].includes(Number(set.mock.calls[index]?.[1])),
    )
    .map(({ value }) => value as NodeJS.Timeout);
  expect(ours).toHaveLength(3);
  await app.close();
  const ended = cleared.mock.calls.map(([timer]) => timer);
  expect(ours.filter((timer) => !ended.includes(timer))).toEqual([]);
});

describe('only the timers that a process needs', () => {
  it.each([
    ['that emits', { relay: { enabled: false }, workers: { enabled: false } }, []],
    ['that relays', { workers: { enabled: false } }, ['queue-watch', 'relay', 'rescue']],
    ['that works', { relay: { enabled: false } }, ['handlers']],
  ])('run in one %s', async (_role, roles, expected) => {
    const namespace = newNamespace();
    const app = await startApp({
      url: backends.database.url,
      events: { namespace, queue: backends.redis, ...roles },
      imports: [ScheduleModule.forRoot()],
      providers: [handler],
    });
    const names = expected.map((what) => `events:${namespace}:${what}`);
    expect(app.context.get(SchedulerRegistry).getIntervals().toSorted()).toEqual(names.toSorted());
  });
});
