import { defineEvent, type QueueTarget } from 'nestjs-durable-events';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { onEvent } from '../support/inline-handler.js';
import { nextSignal } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestAppOptions, type TestBackends } from '../support/test-app.js';

const Happened = defineEvent('happened');

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

interface Place {
  url: string;
  withOptions: string;
  fields: { host: string; port: number; database: string; username: string; password: string };
}

function place(): Place {
  const url = new URL(backends.database.url);
  const withOptions = new URL(url);
  withOptions.searchParams.set('options', '-c statement_timeout=60000');
  return {
    url: url.toString(),
    withOptions: withOptions.toString(),
    fields: {
      host: url.hostname,
      port: Number(url.port),
      database: url.pathname.slice(1),
      username: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
    },
  };
}

type Given = (place: Place) => {
  url?: string;
  dataSource?: TestAppOptions['dataSource'];
  queue?: QueueTarget;
};

it.each<[string, Given]>([
  ["the DataSource's, by URL", () => ({})],
  ["the DataSource's, by URL with options", ({ withOptions }) => ({ url: withOptions })],
  [
    "the DataSource's, by its fields",
    ({ fields }) => ({ dataSource: { url: undefined, ...fields } }),
  ],
  [
    "the DataSource's, with more for its driver",
    () => ({ dataSource: { extra: { max: 2, options: '-c statement_timeout=60000' } } }),
  ],
  ['given by URL', ({ url }) => ({ queue: { postgres: url } })],
  ['given by URL with options', ({ withOptions }) => ({ queue: { postgres: withOptions } })],
  [
    'given by its fields',
    ({ fields: { username, ...rest } }) => ({
      queue: { postgres: { ...rest, user: username, options: '-c statement_timeout=60000' } },
    }),
  ],
])('the queue is on PostgreSQL: %s', async (_how, given) => {
  const { url = backends.database.url, dataSource = {}, queue } = given(place());
  const app = await startApp({
    url,
    dataSource,
    events: { namespace: newNamespace(), ...(queue !== undefined && { queue }) },
    providers: [onEvent(Happened, { id: 'noted' }, () => undefined)],
  });
  const completed = nextSignal(app.signals, 'delivery.completed');
  await emitIn(app, Happened);
  expect(await completed).toMatchObject({ handler: 'noted', attempt: 1 });
});
