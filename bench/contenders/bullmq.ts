import { Queue, Worker } from 'bullmq';
import { randomUUID } from 'node:crypto';
import { chunksOf, EVENT_NAME, makeData, type OrderData } from '../event.js';
import type { Task } from '../protocol.js';
import { handlersOf, type Contender, type OnHandled } from './contender.js';
import { machineMs, roleOf, type LatencyContender } from './latency.js';

/** As many handlers at once as the library's default, and as many jobs per `addBulk` as its relay. */
const SETTINGS = { concurrency: 50, bulk: 500 };
const JOB_OPTIONS = { removeOnComplete: true, removeOnFail: true };

/** No database at all: the ceiling of what is delivered by BullMQ. */
export async function start(task: Task, onHandled: OnHandled): Promise<Contender> {
  const name = `bench-${randomUUID()}`;
  const connection = { url: task.redisUrl };
  const handlers = handlersOf(task);
  const queue = new Queue<OrderData>(name, { connection });
  let completed = 0;
  const worker = new Worker<OrderData>(name, async ({ data }) => onHandled(data.n), {
    connection: { ...connection, maxRetriesPerRequest: null },
    concurrency: SETTINGS.concurrency,
  });
  worker.on('completed', () => completed++);
  await Promise.all([queue.waitUntilReady(), worker.waitUntilReady()]);
  return {
    async seed(from, count) {
      const bulks = [...chunksOf(from, count, Math.ceil(SETTINGS.bulk / handlers))].map((chunk) =>
        chunk.flatMap((data) =>
          Array.from({ length: handlers }, () => ({ name: EVENT_NAME, data, opts: JOB_OPTIONS })),
        ),
      );
      return async () => {
        for (const bulk of bulks) await queue.addBulk(bulk);
      };
    },
    async done() {
      const left = await queue.getJobCountByTypes('waiting', 'active', 'delayed', 'failed');
      return left === 0 ? completed : completed - left;
    },
    async close() {
      await worker.close();
      await queue.obliterate({ force: true });
      await queue.close();
    },
  };
}

/** From the call of `add`. */
export async function startLatency(task: Task, onHandled: OnHandled): Promise<LatencyContender> {
  const role = roleOf(task);
  const name = String(task.options['queueName']);
  const connection = { url: task.redisUrl };
  const queue = new Queue<OrderData>(name, { connection });
  const worker =
    role === 'emit'
      ? undefined
      : new Worker<OrderData>(name, async ({ data }) => onHandled(data.n), {
          connection: { ...connection, maxRetriesPerRequest: null },
          concurrency: SETTINGS.concurrency,
        });
  await Promise.all([queue.waitUntilReady(), worker?.waitUntilReady()]);
  return {
    async emit(n) {
      const called = machineMs();
      await queue.add(EVENT_NAME, makeData(n), JOB_OPTIONS);
      return called;
    },
    async close() {
      await worker?.close();
      await queue.close();
    },
  };
}
