import { PgBoss } from 'pg-boss';
import type { Contender, OnHandled } from '../contenders/contender.js';
import { chunksOf, EVENT_NAME, type OrderData } from '../event.js';
import type { Task } from '../protocol.js';
import { SideClient } from './client.js';

/**
 * Woken by NOTIFY, many jobs at a time, and no waiting while there are more: its means against being
 * bound by its polling. With `perJobResults` each job has its own outcome, as ours have; without, a
 * batch is completed, or fails, as a whole.
 */
const BOSS = { useListenNotify: true, max: 10 };
const QUEUE = { notify: true };
const WORK = {
  batchSize: 100,
  burstWhenBatchFull: true,
  localConcurrency: 4,
  pollingIntervalSeconds: 0.5,
  notifyPollingIntervalSeconds: 0.5,
};
const SEED_ROWS = 1_000;

export async function start(task: Task, onHandled: OnHandled): Promise<Contender> {
  const boss = new PgBoss({ connectionString: task.databaseUrl, ...BOSS });
  boss.on('error', (error) => console.error(error));
  await boss.start();
  await boss.createQueue(EVENT_NAME, QUEUE);
  const side = new SideClient(task.databaseUrl);
  const perJobResults = task.options['wholeBatches'] !== true;
  await boss.work(EVENT_NAME, { ...WORK, perJobResults }, async (jobs) => {
    for (const { data } of jobs) onHandled((data as OrderData).n);
    return perJobResults ? jobs.map(({ id }) => ({ id, status: 'completed' })) : undefined;
  });
  return {
    seed: (from, count) =>
      side.hold(async (client) => {
        const db = {
          executeSql: (text: string, values?: unknown[]) => client.query(text, values),
        };
        for (const chunk of chunksOf(from, count, SEED_ROWS)) {
          await boss.insert(
            EVENT_NAME,
            chunk.map((data) => ({ data })),
            { db },
          );
        }
      }),
    done: () => side.number(`SELECT count(*) FROM pgboss.job WHERE state = 'completed'`),
    async close() {
      await boss.stop({ graceful: false });
      await side.close();
    },
  };
}
