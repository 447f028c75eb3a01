import { Injectable } from '@nestjs/common';
import { defineEvent, EventHandler, type HandlerContext } from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDataSource } from '../support/data-source.js';
import { createTestDatabase, onPostgres, type TestDatabase } from '../support/database.js';
import { saveOrder, toEmitApp } from '../support/emit-app.js';
import { countSignals } from '../support/signals.js';
import { createTestBackends, startTestApp, type TestBackends } from '../support/test-app.js';

const OrderPlaced = defineEvent<string>('order.placed', {
  entity: (id) => ({ type: 'order', id }),
});

@Injectable()
class Handlers {
  readonly seen: string[] = [];

  @EventHandler(OrderPlaced)
  plain({ data }: { data: string }): void {
    this.seen.push(`plain ${data}`);
  }

  @EventHandler(OrderPlaced, { transactional: true })
  async transactional({ data }: { data: string }, { manager }: HandlerContext): Promise<void> {
    await saveOrder(manager, `handled ${data}`);
  }
}

let backends: TestBackends;
let replica: TestDatabase;

beforeAll(async () => {
  backends = await createTestBackends();
  replica = await createTestDatabase();
});
afterAll(async () => {
  await backends.drop();
  await replica.drop();
});

const QUEUES = onPostgres ? (['redis', 'the DataSource itself'] as const) : (['redis'] as const);

describe.each(QUEUES)('with the queue on %s', (queue) => {
  it('C21: everything goes to the master, though the replica has nothing at all', async () => {
    const app = await toEmitApp(
      await startTestApp({
        url: backends.database.url,
        events: {
          namespace: queue === 'redis' ? 'a' : 'b',
          ...(queue === 'redis' && { queue: backends.redis }),
        },
        providers: [Handlers],
        dataSource: {
          replication: {
            // Reads of the application prefer the replica.
            defaultMode: 'slave',
            master: { url: backends.database.url },
            slaves: [{ url: replica.url }],
          },
        } as object,
      }),
    );
    try {
      const id = `${queue} o1`;
      const completed = countSignals(app.signals, 'delivery.completed', 2);
      const { eventId } = await app.dataSource.transaction(async (manager) => {
        await saveOrder(manager, id);
        return app.bus.emit(OrderPlaced, id, { idempotencyKey: id });
      });
      await completed;
      const again = await app.bus.emit(OrderPlaced, id, {
        idempotencyKey: id,
        standalone: 'allow',
      });
      expect(again).toMatchObject({ eventId, duplicate: true });
      expect(await app.log.ofEntity('order', id)).toMatchObject([
        {
          eventId,
          position: 1,
          deliveries: [{ status: 'completed' }, { status: 'completed' }],
        },
      ]);
      expect(await app.log.get(eventId)).toMatchObject({ eventId });
      expect(app.context.get(Handlers).seen).toEqual([`plain ${id}`]);
    } finally {
      await app.close();
    }
    expect(await tablesOf(replica.url)).toEqual([]);
  });
});

it('C21: a boot that may not migrate looks at the master', async () => {
  const app = await startTestApp({
    url: backends.database.url,
    events: { queue: backends.redis, migrate: false },
    dataSource: {
      replication: {
        defaultMode: 'slave',
        master: { url: backends.database.url },
        slaves: [{ url: replica.url }],
      },
    } as object,
  });
  await app.close();
  expect(await tablesOf(replica.url)).toEqual([]);
});

async function tablesOf(url: string): Promise<unknown[]> {
  const dataSource = await openDataSource(url);
  try {
    return await dataSource.query<unknown[]>(
      `SELECT table_schema, table_name FROM information_schema.tables
        WHERE table_schema NOT IN ('pg_catalog', 'information_schema')
          AND '${replica.name}' IN (table_catalog, table_schema)`,
    );
  } finally {
    await dataSource.destroy();
  }
}
