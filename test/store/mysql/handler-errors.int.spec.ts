import { defineEvent, type HandlerContext } from 'nestjs-durable-events';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createMariadbDatabase, type TestDatabase } from '../../support/database.js';
import { onEvent } from '../../support/inline-handler.js';
import { nextSignal } from '../../support/signals.js';
import { emitIn, newNamespace, startApp } from '../../support/start-app.js';
import { createTestBackends, type TestBackends } from '../../support/test-app.js';

const Placed = defineEvent<{ n: number }>('placed');

let backends: TestBackends;
let database: TestDatabase;
beforeAll(async () => {
  backends = await createTestBackends();
  database = await createMariadbDatabase();
});
afterAll(async () => {
  await database.drop();
  await backends.drop();
});

it('a handler whose own table is full has failed, and is a dead letter in the end', async () => {
  const app = await startApp({
    url: database.url,
    dataSource: { type: 'mysql' },
    events: {
      namespace: newNamespace(),
      queue: backends.redis,
      defaults: { attempts: 2, backoff: 5 },
    },
    providers: [
      onEvent(Placed, { id: 'hoards', transactional: true }, (_event, context: HandlerContext) =>
        context.manager.query(`INSERT INTO small SELECT 'x' FROM seq_1_to_5000`),
      ),
    ],
  });
  await app.dataSource.query('CREATE TABLE small (t char(255)) ENGINE=MEMORY MAX_ROWS=10');
  const dead = nextSignal(app.signals, 'delivery.dead');
  await emitIn(app, Placed, { n: 1 });
  expect(await dead).toMatchObject({ attempt: 2, error: { driverError: { errno: 1114 } } });
});
