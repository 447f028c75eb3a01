import {
  DatabaseSetup,
  getDisabledLogger,
  initializePollingMessageListener,
} from 'pg-transactional-outbox';
import type { Contender, OnHandled } from '../contenders/contender.js';
import { chunksOf, EVENT_NAME, type OrderData } from '../event.js';
import type { Task } from '../protocol.js';
import { SideClient } from './client.js';

/** Its polling listener: the other one, on a replication slot, takes messages one after the other. */
const SETTINGS = {
  nextMessagesBatchSize: 100,
  nextMessagesPollingIntervalInMs: 10,
  // Its example for an outbox has these off: two statements less per message.
  enableMaxAttemptsProtection: false,
  enablePoisonousMessageProtection: false,
};
const POOL = { max: 50 };
const TABLE = { outboxOrInbox: 'outbox', schema: 'public', table: 'outbox' };
const NEXT = 'next_outbox_messages';
const SEED_ROWS = 1_000;

export async function start(task: Task, onHandled: OnHandled): Promise<Contender> {
  const side = new SideClient(task.databaseUrl);
  const setup = { ...TABLE, database: '', listenerRole: 'postgres', nextMessagesName: NEXT };
  for (const step of ['dropAndCreateTable', 'createPollingFunction', 'setupPollingIndexes']) {
    await side.query(DatabaseSetup[step]!(setup));
  }
  const connection = { connectionString: task.databaseUrl, ...POOL };
  const [shutdown] = initializePollingMessageListener(
    {
      outboxOrInbox: 'outbox',
      dbListenerConfig: connection,
      dbHandlerConfig: connection,
      settings: {
        dbSchema: 'public',
        dbTable: 'outbox',
        nextMessagesFunctionName: NEXT,
        ...SETTINGS,
      },
    },
    { handle: async ({ payload }) => onHandled((payload as OrderData).n) },
    getDisabledLogger(),
    // Its default begins with single messages, against poisonous ones.
    { batchSizeStrategy: async () => SETTINGS.nextMessagesBatchSize },
  );
  return {
    seed: (from, count) =>
      side.hold(async (client) => {
        for (const chunk of chunksOf(from, count, SEED_ROWS)) {
          await client.query(
            `INSERT INTO outbox
               (id, aggregate_type, aggregate_id, message_type, concurrency, payload)
             SELECT gen_random_uuid(), 'order', data->>'orderId', $1, 'parallel', data
             FROM jsonb_array_elements($2::jsonb) AS event(data)`,
            [EVENT_NAME, JSON.stringify(chunk)],
          );
        }
      }),
    done: () => side.number('SELECT count(*) FROM outbox WHERE processed_at IS NOT NULL'),
    async close() {
      await shutdown();
      await side.close();
    },
  };
}
