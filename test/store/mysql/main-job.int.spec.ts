import { Injectable } from '@nestjs/common';
import {
  defineEvent,
  EventHandler,
  InvalidOptionsError,
  UnrecoverableEventError,
  UnsupportedDatabaseError,
  type DomainEvent,
  type EventsModuleOptions,
  type HandlerContext,
  type QueueTarget,
} from 'nestjs-durable-events';
import { Column, Entity, PrimaryColumn, type DataSourceOptions } from 'typeorm';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import {
  createMariadbDatabase,
  createPostgresDatabase,
  redisPrefix,
  type TestDatabase,
} from '../../support/database.js';
import { emitOnly } from '../../support/emit-app.js';
import { countSignals, nextSignal } from '../../support/signals.js';
import { startTestApp, type TestApp } from '../../support/test-app.js';

const OrderPlaced = defineEvent<{ id: string; note: string }>('order.placed', {
  entity: ({ id }) => ({ type: 'order', id }),
});

@Entity('orders')
class Order {
  @PrimaryColumn({ length: 50 })
  id!: string;

  @Column({ default: 0 })
  handled!: number;
}

@Injectable()
class Handlers {
  readonly seen: unknown[] = [];

  @EventHandler(OrderPlaced, { id: 'plain' })
  plain({ data }: DomainEvent<typeof OrderPlaced>): void {
    this.seen.push(data);
  }

  @EventHandler(OrderPlaced, { id: 'transactional', transactional: true })
  async transactional({ data }: DomainEvent<typeof OrderPlaced>, { manager }: HandlerContext) {
    await manager.getRepository(Order).increment({ id: data.id }, 'handled', 1);
  }

  @EventHandler(OrderPlaced, { id: 'failing' })
  failing({ data }: DomainEvent<typeof OrderPlaced>): void {
    throw new UnrecoverableEventError(`no way for ${data.note}`);
  }
}

/** The queues that an application on MariaDB may have. */
let queues: { redis: QueueTarget; postgres: QueueTarget };
let queueDatabase: TestDatabase;
let keys: ReturnType<typeof redisPrefix>;
let database: TestDatabase;

beforeAll(async () => {
  queueDatabase = await createPostgresDatabase();
  keys = redisPrefix();
  queues = {
    redis: { redis: inject('redisUrl'), prefix: keys.prefix },
    postgres: { postgres: queueDatabase.url },
  };
});
beforeEach(async () => {
  database = await createMariadbDatabase();
  return () => database.drop();
});
afterAll(() => Promise.all([queueDatabase.drop(), keys.cleanup()]));

function start(
  events: EventsModuleOptions,
  dataSource: Partial<DataSourceOptions> = {},
): Promise<TestApp> {
  return startTestApp({
    url: database.url,
    events,
    providers: [Handlers],
    dataSource: {
      type: 'mysql',
      synchronize: true,
      entities: [Order],
      ...dataSource,
    } as Partial<DataSourceOptions>,
  });
}

describe.each(['redis', 'postgres'] as const)('on MariaDB, with the queue on %s', (queue) => {
  it.each(['mysql', 'mariadb'] as const)(
    'an event goes with its transaction to each handler (DataSource of type %s)',
    async (type) => {
      const namespace = `${queue}-${type}`;
      const app = await start({ namespace, queue: queues[queue] }, { type });
      try {
        const done = Promise.all([
          countSignals(app.signals, 'delivery.completed', 2),
          nextSignal(app.signals, 'delivery.dead'),
        ]);
        const note = `it's "ä" \\ 😀`;
        const { eventId } = await app.dataSource.transaction(async (manager) => {
          await manager.getRepository(Order).insert({ id: 'o1' });
          return app.bus.emit(OrderPlaced, { id: 'o1', note });
        });
        await done;
        expect(app.context.get(Handlers).seen).toEqual([{ id: 'o1', note }]);
        expect(await app.dataSource.getRepository(Order).find()).toEqual([
          { id: 'o1', handled: 1 },
        ]);
        expect(await app.log.ofEntity('order', 'o1')).toMatchObject([
          {
            eventId,
            position: 1,
            deliveries: [
              { handler: 'failing', status: 'dead', lastError: expect.stringContaining(note) },
              { handler: 'plain', status: 'completed' },
              { handler: 'transactional', status: 'completed' },
            ],
          },
        ]);
      } finally {
        await app.close();
      }
    },
  );
});

describe('on MariaDB', () => {
  it('a boot without a queue stops and asks for one', async () => {
    const boot = start({});
    await expect(boot).rejects.toBeInstanceOf(UnsupportedDatabaseError);
    await expect(boot).rejects.toThrow(
      /type "mysql".*can't hold the queue.*\{ redis: .* \} or \{ postgres: /,
    );
    // Which is this MySQL itself, as a rule.
    await expect(boot).rejects.not.toThrow(/DATABASE_URL/);
  });

  it('a boot whose queue is this database stops too', async () => {
    const error = await start({ queue: { postgres: database.url } }).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(InvalidOptionsError);
    expect((error as InvalidOptionsError).option).toBe('queue.postgres');
  });

  it('a process that only emits needs none', async () => {
    const app = await start(emitOnly({ standalone: 'allow' }));
    const { eventId } = await app.bus.emit(OrderPlaced, { id: 'o1', note: '' });
    expect(await app.log.get(eventId)).toMatchObject({ eventId, position: undefined });
    await app.close();
  });

  it('C23: the application’s synchronize leaves our tables alone, and a generated migration too', async () => {
    const structure = async (app: TestApp) =>
      app.dataSource.query<unknown[]>(
        `SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, COLLATION_NAME, IS_NULLABLE, COLUMN_DEFAULT
          FROM information_schema.COLUMNS
          WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME LIKE 'events\\_%'
          ORDER BY TABLE_NAME, ORDINAL_POSITION`,
      );
    const first = await start(emitOnly());
    const made = await structure(first);
    expect(made.length).toBeGreaterThan(50);
    await first.close();
    const second = await start(emitOnly());
    expect(await structure(second)).toEqual(made);
    const log = await second.dataSource.driver.createSchemaBuilder().log();
    expect(log.upQueries.map(({ query }) => query)).toEqual([]);
    await second.close();
  });
});
