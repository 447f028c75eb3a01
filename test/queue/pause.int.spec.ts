import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { jobCount, openBullNamed, QUEUE_KINDS } from '../support/bull.js';
import { sorted, upTo } from '../support/deliveries.js';
import { proxiedQueue } from '../support/proxied.js';
import { nextSignal } from '../support/signals.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';
import { deferred, eventually } from '../support/wait.js';
import { asleep } from './asleep.js';
import { noting, OwnQueue } from './own-queue.js';

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

const rejections: unknown[] = [];
const note = (reason: unknown) => rejections.push(reason);
beforeEach(() => {
  process.on('unhandledRejection', note);
});
afterEach(() => {
  process.off('unhandledRejection', note);
  const [reason] = rejections.splice(0);
  if (reason !== undefined) throw new Error('an unhandled rejection', { cause: reason });
});

describe.each(QUEUE_KINDS)('a worker on %s', (kind) => {
  /** A queue with a worker that has shown that it works. */
  async function working(concurrency = 5) {
    const own = new OwnQueue(backends[kind]);
    const seen: number[] = [];
    const worker = own.work(noting(seen), { concurrency });
    await own.push([1]);
    await eventually(() => seen.length === 1, { what: 'the first job has run' });
    return { own, seen, worker, bull: openBullNamed(backends, kind, own.bullName) };
  }

  /** Another worker takes the jobs: so the paused one had its chance. */
  async function takenByAnother(own: OwnQueue, numbers: number[]): Promise<void> {
    const others: number[] = [];
    const other = own.another(backends[kind]);
    const worker = other.work(noting(others));
    await eventually(() => others.length > 0, { what: 'another worker has taken jobs' });
    await worker.close(1_000, 1_000);
    expect(numbers).toEqual(expect.arrayContaining(others));
  }

  it('C12: starts no job while it is paused, and the waiting ones when it is resumed', async () => {
    const { own, seen, worker } = await working();
    worker.pause();
    worker.pause();
    await own.push(upTo(40).map((n) => n + 1));
    await takenByAnother(
      own,
      upTo(40).map((n) => n + 1),
    );
    expect(seen).toEqual([1]);
    await own.push([50]);
    worker.resume();
    worker.resume();
    await eventually(() => seen.includes(50), { what: 'the last job has run' });
  });

  it('C12: paused in its sleep, it holds the one job that wakes it, and leaves the rest', async () => {
    const own = new OwnQueue(backends[kind]);
    const [seen, others]: [number[], number[]] = [[], []];
    const worker = own.work(noting(seen), { pollIntervalMs: 60_000 });
    await asleep(backends, kind, own);
    worker.pause();
    await own.push(upTo(20));
    const bull = openBullNamed(backends, kind, own.bullName);
    await eventually(async () => (await bull.getActiveCount()) > 0, { what: 'BullMQ fetches one' });
    const other = own.another(backends[kind]).work(noting(others));
    await eventually(() => others.length === 19, { what: 'another takes the rest' });
    await other.close(1_000, 1_000);
    expect(seen).toEqual([]);
    worker.resume();
    await eventually(() => seen.length === 1, { what: 'the one is run' });
    expect(sorted([...seen, ...others])).toEqual(upTo(20));
  });

  it('D8: does not run the job that it held when resumed, if another worker took it over', async () => {
    const { proxy, queue } = await proxiedQueue(backends, kind);
    const own = new OwnQueue(queue);
    const [seen, others]: [number[], number[]] = [[], []];
    const short = { lockDurationMs: 1_000 };
    const worker = own.work(noting(seen), { ...short, pollIntervalMs: 60_000 });
    await asleep(backends, kind, own);
    worker.pause();
    const direct = own.another(backends[kind]);
    await direct.push([1]);
    const bull = openBullNamed(backends, kind, own.bullName);
    await eventually(async () => (await bull.getActiveCount()) > 0, { what: 'BullMQ fetches it' });
    proxy.strand();
    direct.work(noting(others), short);
    await eventually(() => others.length === 1, { what: 'its lock expired, another runs it' });
    worker.resume();
    await worker.close(10_000, 1_000);
    expect(seen).toEqual([]);
  }, 30_000);

  it('C12: lets running jobs end while it is paused, and does not wait for them when resumed', async () => {
    const own = new OwnQueue(backends[kind]);
    const release = deferred();
    const [started, ended]: [number[], number[]] = [[], []];
    const worker = own.work(
      async ({
        data: {
          deliveries: [delivery],
        },
      }) => {
        started.push(delivery!.position);
        if (delivery!.position <= 2) await release.promise;
        ended.push(delivery!.position);
      },
      { lockDurationMs: 1_000 },
    );
    await own.push([1, 2]);
    await eventually(() => started.length === 2, { what: 'two jobs run' });
    worker.pause();
    await own.push([3]);
    worker.resume();
    await eventually(() => ended.includes(3), { what: 'the third has run beside them' });
    worker.pause();
    release.resolve();
    await eventually(() => ended.length === 3, { what: 'all have ended' });
    const bull = openBullNamed(backends, kind, own.bullName);
    await eventually(async () => (await jobCount(bull)) === 0, { what: 'all are acknowledged' });
    await own.push([4]);
    worker.resume();
    await eventually(() => ended.includes(4), { what: 'the fourth has run' });
    expect(sorted(started)).toEqual([1, 2, 3, 4]);
  });

  it('C12: paused and resumed in quick succession, it goes on', async () => {
    const { own, seen, worker } = await working(1);
    for (const n of upTo(40)) {
      worker.pause();
      // Between the turns of BullMQ's loop, wherever it is.
      if (n % 2 === 0) await new Promise((resolve) => setImmediate(resolve));
      if (n % 3 === 0) await own.push([n + 1]);
      worker.resume();
      if (n % 5 === 0) await Promise.resolve();
    }
    await own.push([100]);
    await eventually(() => seen.includes(100), { what: 'the last job has run' });
    expect(sorted(new Set(seen))).toEqual(sorted(seen));
  });

  it('C12: started while it is paused, it takes no job before it is resumed', async () => {
    const { proxy, queue } = await proxiedQueue(backends, kind);
    const own = new OwnQueue(queue);
    const direct = own.another(backends[kind]);
    await direct.push([1, 2]);
    proxy.cut();
    const seen: number[] = [];
    const unavailable = nextSignal(own.signals, 'queue.unavailable');
    const worker = own.work(noting(seen));
    worker.pause();
    await unavailable;
    const available = nextSignal(own.signals, 'queue.available');
    proxy.heal();
    await available;
    await takenByAnother(direct, [1, 2]);
    expect(seen).toEqual([]);
    await direct.push([3]);
    worker.resume();
    await eventually(() => seen.includes(3), { what: 'the third has run' });
  });

  it('C12: closes at once while it is paused, before and after its start', async () => {
    const { own, worker } = await working();
    worker.pause();
    await own.push([2]);
    const early = own.work(noting([]));
    early.pause();
    const closing = performance.now();
    await Promise.all([worker.close(5_000, 1_000), early.close(5_000, 1_000)]);
    // Less than the time it has.
    expect(performance.now() - closing).toBeLessThan(4_500);
    // After its end nothing wakes it.
    worker.resume();
    worker.pause();
  });

  it('C12: closed while it is paused, it leaves the jobs it had fetched to others', async () => {
    const { own, worker } = await working();
    worker.pause();
    await own.push(upTo(20).map((n) => n + 1));
    // Time enough to give them back, on a busy machine too: what is cut off stays locked.
    await worker.close(10_000, 1_000);
    const others: number[] = [];
    own.another(backends[kind]).work(noting(others));
    await eventually(() => others.length === 20, { what: 'another has run all of them' });
    expect(sorted(others)).toEqual(upTo(20).map((n) => n + 1));
  });
});
