import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WATCHDOG_TIMES } from '../../lib/queue/worker-watchdog.js';
import { jobCount, openBullNamed, QUEUE_KINDS } from '../support/bull.js';
import { sorted, upTo } from '../support/deliveries.js';
import { proxiedQueue } from '../support/proxied.js';
import { nextSignal, recordSignals } from '../support/signals.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';
import { deferred, eventually } from '../support/wait.js';
import { asleep } from './asleep.js';
import { noting, OwnQueue } from './own-queue.js';

/** A silent worker is found within a second. */
const SOON = { silentMs: 400, checkMs: 100, emptyMs: 100, heldMs: 100 };
/** The watchdogs' looks so far: each reads when the next one is due. */
let looks = 0;
const COUNTED = {
  ...SOON,
  get checkMs() {
    looks++;
    return SOON.checkMs;
  },
};

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

/** Enough for a silent worker to be suspected, asked twice and replaced. */
function manyChecks(): Promise<boolean> {
  const enough = looks + (3 * SOON.silentMs) / SOON.checkMs;
  return eventually(() => looks >= enough, { what: 'the watchdog has looked many times' });
}

describe.each(QUEUE_KINDS)('a worker on %s', (kind) => {
  it('D13: that sleeps behind dead connections is replaced when jobs wait', async () => {
    const { proxy, queue } = await proxiedQueue(backends, kind);
    const own = new OwnQueue(queue, SOON);
    const direct = own.another(backends[kind]);
    const seen: number[] = [];
    own.work(noting(seen), { pollIntervalMs: 60_000 });
    await asleep(backends, kind, own);
    const recreated = nextSignal(own.signals, 'worker.recreated');
    proxy.strand();
    await direct.push(upTo(3));
    const { queue: name, silentMs } = await recreated;
    expect(name).toBe('default');
    expect(silentMs).toBeGreaterThanOrEqual(SOON.silentMs);
    await eventually(() => seen.length === 3, { what: 'all have run' });
    expect(sorted(seen)).toEqual(upTo(3));
  }, 40_000);

  it('D13: that sleeps behind dead connections is replaced for overdue retries, too', async () => {
    const { proxy, queue } = await proxiedQueue(backends, kind);
    const own = new OwnQueue(queue, SOON);
    const direct = own.another(backends[kind]);
    const seen: number[] = [];
    own.work(noting(seen), { pollIntervalMs: 60_000 });
    await asleep(backends, kind, own);
    const recreated = nextSignal(own.signals, 'worker.recreated');
    proxy.strand();
    await direct.push([1, 2], { delayMs: 100 });
    await recreated;
    await eventually(() => seen.length === 2, { what: 'all have run' });
    expect(sorted(seen)).toEqual([1, 2]);
  }, 40_000);

  it('D13: whose connections die while it works goes on, and its running jobs end', async () => {
    const { proxy, queue } = await proxiedQueue(backends, kind);
    const own = new OwnQueue(queue, SOON);
    const direct = own.another(backends[kind]);
    const release = deferred();
    const seen: number[] = [];
    const worker = own.work(
      async ({
        data: {
          deliveries: [delivery],
        },
      }) => {
        if (delivery!.position === 1) await release.promise;
        seen.push(delivery!.position);
      },
      { concurrency: 2, lockDurationMs: 2_000, pollIntervalMs: 1_000 },
    );
    await direct.push([1, 2]);
    await eventually(() => seen.length === 1, { what: 'the second job has run' });
    proxy.strand();
    await direct.push([3, 4, 5]);
    // What is sent into a dead connection is given up after 5 s (Redis) or 9 s (PostgreSQL).
    await eventually(() => seen.includes(5), { what: 'the others have run', timeout: 20_000 });
    release.resolve();
    await eventually(() => seen.includes(1), { what: 'the first has ended' });
    const bull = openBullNamed(backends, kind, own.bullName);
    await eventually(async () => (await jobCount(bull)) === 0, {
      what: 'no job is left',
      timeout: 20_000,
    });
    const closing = performance.now();
    await worker.close(2_000, 1_000);
    // All of its time where a connection is dead, and what a busy machine stands still.
    expect(performance.now() - closing).toBeLessThan(6_500);
  }, 70_000);

  it('D13: that has nothing to do is left alone', async () => {
    const own = new OwnQueue(backends[kind], COUNTED);
    const seen: number[] = [];
    own.work(noting(seen));
    await own.push([1]);
    await eventually(() => seen.length === 1, { what: 'it works' });
    // Until it works it may be silent, on a busy machine.
    const recreated = recordSignals(own.signals, 'worker.recreated');
    // A retry that is not due yet is nothing to do, either.
    await own.push([2], { delayMs: 60_000 });
    await manyChecks();
    expect(recreated).toEqual([]);
  });

  it('D13: all of whose slots are busy is left alone, although jobs wait', async () => {
    const own = new OwnQueue(backends[kind], COUNTED);
    const release = deferred();
    const started: number[] = [];
    own.work(
      async ({
        data: {
          deliveries: [delivery],
        },
      }) => {
        started.push(delivery!.position);
        await release.promise;
      },
      { concurrency: 2 },
    );
    await own.push(upTo(4));
    await eventually(() => started.length === 2, { what: 'its slots are taken' });
    const recreated = recordSignals(own.signals, 'worker.recreated');
    await manyChecks();
    expect(recreated).toEqual([]);
    release.resolve();
    await eventually(() => started.length === 4, { what: 'all have run' });
  });

  it('D13: that its limiter holds back is left alone', async () => {
    const own = new OwnQueue(backends[kind], COUNTED);
    const seen: number[] = [];
    own.work(noting(seen), { limiter: { max: 1, duration: 60_000 } });
    await own.push(upTo(3));
    await eventually(() => seen.length === 1, { what: 'one is let through' });
    const recreated = recordSignals(own.signals, 'worker.recreated');
    await manyChecks();
    expect(recreated).toEqual([]);
    expect(seen.length).toBe(1);
  });

  it.each<[string, (bull: ReturnType<typeof openBullNamed>) => Promise<unknown>, number]>([
    ['paused the queue', (bull) => bull.pause(), 0],
    ['limited the queue', (bull) => bull.setGlobalRateLimit(1, 60_000), 1],
    ["used up the queue's global concurrency", (bull) => bull.setGlobalConcurrency(0), 0],
  ])('D13: is left alone when an operator %s', async (_what, hold, passing) => {
    const own = new OwnQueue(backends[kind], COUNTED);
    await own.queue.ready();
    const bull = openBullNamed(backends, kind, own.bullName);
    await hold(bull);
    const seen: number[] = [];
    own.work(noting(seen));
    await own.push(upTo(3));
    await eventually(() => seen.length >= passing, { what: 'what may pass has run' });
    const recreated = recordSignals(own.signals, 'worker.recreated');
    await manyChecks();
    expect(recreated).toEqual([]);
    expect(seen.length).toBeLessThan(3);
  });

  it('D13: that this process has paused is left alone', async () => {
    const own = new OwnQueue(backends[kind], COUNTED);
    const seen: number[] = [];
    const worker = own.work(noting(seen));
    await own.push([1]);
    await eventually(() => seen.length === 1, { what: 'it works' });
    const recreated = recordSignals(own.signals, 'worker.recreated');
    worker.pause();
    await own.push(upTo(4));
    await manyChecks();
    expect(recreated).toEqual([]);
    worker.resume();
    await eventually(() => new Set(seen).size === 4, { what: 'all have run' });
  });
});

it('D13: an idle worker asks an empty queue 6 times a minute', () => {
  expect(60_000 / WATCHDOG_TIMES.emptyMs).toBe(6);
});
