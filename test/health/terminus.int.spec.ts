import { HealthCheckService, TerminusModule } from '@nestjs/terminus';
import { defineEvent, EventsHealthIndicator } from 'nestjs-durable-events';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { sql } from '../support/database.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';

const Happened = defineEvent<{ n: number }>('happened');

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

it('Terminus takes the indicator: up, and down with the reason and 503', async () => {
  const namespace = newNamespace();
  const app = await startApp({
    url: backends.database.url,
    events: { namespace, relay: { enabled: false }, workers: { enabled: false } },
    imports: [TerminusModule.forRoot({ logger: false })],
  });
  const indicator = app.context.get(EventsHealthIndicator);
  const terminus = await app.context.resolve(HealthCheckService);
  const check = () => terminus.check([() => indicator.isHealthy('events')]);
  expect(await check()).toMatchObject({
    status: 'ok',
    info: { events: { status: 'up', ledger: { difference: 0 } } },
  });
  await emitIn(app, Happened, { n: 1 });
  await app.dataSource.sql`
    UPDATE events_outbox SET created_at = ${() => sql.after(-3_600_000)}
    WHERE namespace = ${namespace}`;
  const error: unknown = await check().catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({
    status: 503,
    response: {
      status: 'error',
      error: {
        events: {
          status: 'down',
          problems: [expect.stringContaining('has waited') as string],
          outbox: { due: 1 },
        },
      },
    },
  });
});
