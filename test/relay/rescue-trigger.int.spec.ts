import type { DataSource } from 'typeorm';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Rescue } from '../../lib/relay/rescue.js';
import { eventsMigrator } from '../../lib/store/migrations/migrator.js';
import { onEveryConnection, openDataSource } from '../support/data-source.js';
import { onPostgres, sql } from '../support/database.js';
import { upTo } from '../support/deliveries.js';
import { registerHandler } from '../support/register-handler.js';
import { nextSignal } from '../support/signals.js';
import { newNamespace } from '../support/start-app.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';
import { hold } from './hold.js';
import { queueDeliveries, watchingProcess } from './watching-process.js';

/** Sessions of PostgreSQL's that write Indian times as `IST`, and read that as Israel's. */
const STRANGE = onPostgres
  ? [`SET DateStyle = 'SQL, DMY'`, `SET TimeZone = 'Asia/Kolkata'`]
  : [`SET time_zone = '+05:30'`];

let backends: TestBackends;
let dataSource: DataSource;
beforeAll(async () => {
  backends = await createTestBackends();
  dataSource = await openDataSource(backends.database.url);
  await onEveryConnection(dataSource, STRANGE);
  const runner = dataSource.createQueryRunner();
  await eventsMigrator.up(runner);
  await runner.release();
});
afterAll(async () => {
  await dataSource.destroy();
  await backends.drop();
});

it('D5: what a redrive queues while a sweep is under way is swept right after it', async () => {
  const namespace = newNamespace();
  const { store, pusher, signals } = await watchingProcess(backends, dataSource, namespace);
  await registerHandler(dataSource, namespace, 'noted');
  const rescue = new Rescue(store, pusher, signals, { batchSize: 10, rescueAfterMs: 60_000 });
  const held = hold(store, 'rescue', { after: true });
  rescue.trigger();
  await held.reached;
  await queueDeliveries(dataSource, namespace, 3);
  await dataSource.sql`
    UPDATE events_deliveries SET rescue_at = ${() => sql.now} WHERE namespace = ${namespace}`;
  const pushed = nextSignal(signals, 'rescue.pushed');
  rescue.trigger();
  held.go();
  expect(await pushed).toMatchObject({ deliveries: 3 });
  await rescue.stop();
});

it('D5: pages of a refill follow one another whatever the format of times is', async () => {
  const namespace = newNamespace();
  const { store } = await watchingProcess(backends, dataSource, namespace);
  await queueDeliveries(dataSource, namespace, 6);
  for (const position of upTo(6)) {
    await dataSource.sql`
      UPDATE events_deliveries
      SET rescue_at = ${() => sql.instant(`2099-03-01T0${position}:00:00.123456Z`)}
      WHERE namespace = ${namespace} AND position = ${position}`;
  }
  const positions: number[] = [];
  let from: string | undefined;
  do {
    const page = await store.queuedDeliveries(2, from);
    positions.push(...page.deliveries.map(({ position }) => position));
    from = page.next;
  } while (from !== undefined);
  expect(positions).toEqual([1, 2, 3, 4, 5, 6]);
});
