import { setTimeout as pause } from 'node:timers/promises';
import { defineEvent, type EventsModuleOptions } from 'nestjs-durable-events';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { FRESH_MS } from '../../lib/handle/fresh-state.js';
import { openBull, QUEUE_KINDS, type QueueKind } from '../support/bull.js';
import { readDeliveries } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { QueryLog } from '../support/query-log.js';
import { marked } from '../support/queue-mark.js';
import { nextSignal } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';
import { eventually } from '../support/wait.js';

const Happened = defineEvent('happened');

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

const start = (
  kind: QueueKind,
  namespace: string,
  queries: QueryLog,
  options: EventsModuleOptions,
) =>
  startApp({
    url: backends.database.url,
    dataSource: { logger: queries, logging: true },
    events: { namespace, queue: backends[kind], queues: { idle: {} }, ...options },
    providers: [onEvent(Happened, { id: 'noted' }, () => undefined)],
  });
const READ = /asked\.ordinal[^]*d\.max_attempts/;

it.each(QUEUE_KINDS)('%s: what is run at once is not asked for before', async (kind) => {
  const queries = new QueryLog();
  const app = await start(kind, newNamespace(), queries, {});
  const completeOne = async () => {
    const before = queries.matching(READ).length;
    const completed = nextSignal(app.signals, 'delivery.completed');
    await emitIn(app, Happened, {});
    await completed;
    return queries.matching(READ).length - before;
  };
  // A machine under load may not run it at once.
  const unread = async () => (await completeOne()) === 0;
  const what = 'a delivery is completed whose state nobody has read';
  await expect(eventually(unread, { what })).resolves.not.toThrow();
});

it.each(QUEUE_KINDS)('%s: what has waited is asked for', async (kind) => {
  const namespace = newNamespace();
  const relays = await start(kind, namespace, new QueryLog(), { workers: { queues: ['idle'] } });
  // Its first look pushes again what it finds.
  await marked(relays, await openBull(backends, kind, namespace), namespace);
  const pushed = nextSignal(relays.signals, 'relay.pushed');
  await emitIn(relays, Happened, {});
  await pushed;
  await pause(FRESH_MS);
  const queries = new QueryLog();
  const works = await start(kind, namespace, queries, { relay: { enabled: false } });
  const isCompleted = async () =>
    (await readDeliveries(works.dataSource, namespace))[0]?.status === 'completed';
  await eventually(isCompleted, { what: 'the delivery is completed' });
  expect(queries.matching(READ)).toHaveLength(1);
});
