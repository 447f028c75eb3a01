import { OnEvent, OutboxModule } from '@fullstackhouse/nestjs-outbox';
import {
  OutboxTransportEventMigrations,
  TypeORMDatabaseDriverFactory,
  TypeOrmOutboxTransportEvent,
} from '@fullstackhouse/nestjs-outbox-typeorm-driver';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DataSource } from 'typeorm';
import type { Contender, OnHandled } from '../contenders/contender.js';
import { heldTransaction } from '../contenders/held-transaction.js';
import { chunksOf, EVENT_NAME, type OrderData } from '../event.js';
import type { Task } from '../protocol.js';

/** Its TypeORM driver polls; within a poll it goes on while batches are full. It deletes what is done. */
const SETTINGS = { pollingInterval: 100, maxEventsPerPoll: 100, enableDefaultMiddlewares: false };
const LISTENERS = {
  retentionPeriod: 86_400_000,
  maxExecutionTime: 15_000,
  maxRetries: 5,
  // Longer than a batch takes: else events are taken again while they are handled.
  retryStrategy: () => 60_000,
};
const POOL = 20;
const SEED_ROWS = 500;

export async function start(task: Task, onHandled: OnHandled): Promise<Contender> {
  const dataSource = new DataSource({
    type: 'postgres',
    url: task.databaseUrl,
    poolSize: POOL,
    entities: [TypeOrmOutboxTransportEvent],
  });
  await dataSource.initialize();
  await migrate(dataSource);

  @Injectable()
  class Listener {
    @OnEvent(EVENT_NAME)
    async onOrderPlaced({ n }: OrderData): Promise<void> {
      onHandled(n);
    }
  }

  @Module({
    imports: [
      OutboxModule.registerAsync({
        useFactory: () => ({
          driverFactory: new TypeORMDatabaseDriverFactory(dataSource),
          events: [{ name: EVENT_NAME, listeners: LISTENERS }],
          ...SETTINGS,
        }),
        enableDefaultMiddlewares: SETTINGS.enableDefaultMiddlewares,
      }),
    ],
    providers: [Listener],
  })
  class PeerModule {}

  const app = await NestFactory.createApplicationContext(PeerModule, { logger: ['error'] });
  let seeded = 0;
  return {
    seed(from, count) {
      seeded += count;
      return heldTransaction((hold) =>
        dataSource.transaction(async (manager) => {
          for (const chunk of chunksOf(from, count, SEED_ROWS)) {
            const now = Date.now();
            await manager.insert(
              TypeOrmOutboxTransportEvent,
              chunk.map((data) =>
                new TypeOrmOutboxTransportEvent().create(
                  EVENT_NAME,
                  data,
                  now + LISTENERS.retentionPeriod,
                  now,
                ),
              ),
            );
          }
          await hold();
        }),
      );
    },
    done: async () => seeded - (await dataSource.manager.count(TypeOrmOutboxTransportEvent)),
    async close() {
      await app.close();
      await dataSource.destroy();
    },
  };
}

/** By hand: TypeORM refuses the names of its migrations, whose timestamps are in seconds. */
async function migrate(dataSource: DataSource): Promise<void> {
  const runner = dataSource.createQueryRunner();
  try {
    for (const Migration of OutboxTransportEventMigrations) await new Migration().up(runner);
  } finally {
    await runner.release();
  }
}
