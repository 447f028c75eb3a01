import type { Queue } from 'bullmq';
import { eventually } from './wait.js';
import type { TestApp } from './test-app.js';

/** The mark of its queue that the database has; null before the first look. */
async function databaseMark(
  { dataSource }: Pick<TestApp, 'dataSource'>,
  namespace: string,
): Promise<string | null> {
  const [row] = await dataSource.sql<[{ queue_generation: string | null }]>`
    SELECT queue_generation FROM events_relay WHERE namespace = ${namespace}`;
  return row.queue_generation;
}

/** The mark that the queue itself has. */
function queueMark(bull: Queue): Promise<string | null> {
  return bull.getBackend().getQueueMetaField('events-generation');
}

/** Until the app's first look at its queue is over: before, neither has a mark. */
export async function marked(app: TestApp, bull: Queue, namespace: string): Promise<void> {
  const same = async () => {
    const mark = await queueMark(bull);
    return mark !== null && mark === (await databaseMark(app, namespace));
  };
  await eventually(same, { what: 'queue and database have the same mark' });
}
