import { run, runMigrations } from 'graphile-worker';
import { handlersOf, type Contender, type OnHandled } from '../contenders/contender.js';
import { chunksOf, EVENT_NAME, type OrderData } from '../event.js';
import type { Task } from '../protocol.js';
import { SideClient } from './client.js';

/** As its page on performance has it; it deletes a job when it is done. */
const SETTINGS = { concurrentJobs: 24, maxPoolSize: 25 };
const BATCHED = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };
const SEED_ROWS = 1_000;

export async function start(task: Task, onHandled: OnHandled): Promise<Contender> {
  const connectionString = task.databaseUrl;
  await runMigrations({ connectionString });
  const side = new SideClient(connectionString);
  const runner = await run({
    preset: {
      worker: {
        connectionString,
        ...SETTINGS,
        ...(task.options['batched'] === true && BATCHED),
      },
    },
    noHandleSignals: true,
    taskList: { [EVENT_NAME]: async (payload) => onHandled((payload as OrderData).n) },
  });
  const handlers = handlersOf(task);
  let seeded = 0;
  return {
    async seed(from, count) {
      seeded += count * handlers;
      return side.hold(async (client) => {
        for (const chunk of chunksOf(from, count, SEED_ROWS)) {
          await client.query(
            `SELECT 1 FROM graphile_worker.add_jobs(ARRAY(
               SELECT json_populate_record(NULL::graphile_worker.job_spec,
                 json_build_object('identifier', $1::text, 'payload', data))
               FROM json_array_elements($2::json) AS event(data), generate_series(1, $3)))`,
            [EVENT_NAME, JSON.stringify(chunk), handlers],
          );
        }
      });
    },
    done: async () =>
      seeded - (await side.number('SELECT count(*) FROM graphile_worker._private_jobs')),
    async close() {
      await runner.stop();
      await side.close();
    },
  };
}
