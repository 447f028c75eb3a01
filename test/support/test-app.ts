import type { DynamicModule, Provider, Type } from '@nestjs/common';
import type { INestApplicationContext } from '@nestjs/common';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  DeadLetters,
  EventBus,
  EventLog,
  EventsHealth,
  EventsModule,
  Signals,
  type EventsModuleOptions,
  type QueueTarget,
} from 'nestjs-durable-events';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { inject } from 'vitest';
import { dataSourceOptions, onEveryConnection } from './data-source.js';
import { createTestDatabase, onPostgres, redisPrefix, type TestDatabase } from './database.js';

/** Fast answers for tests: nothing waits longer than it must. */
const FAST: EventsModuleOptions = {
  relay: { pollInterval: '200ms' },
  workers: { pollInterval: '200ms' },
  defaults: { backoff: { type: 'fixed', delay: 10 } },
};

/** One file's database, of the project's kind, and the queues that may go with it. */
export interface TestBackends {
  readonly database: TestDatabase;
  readonly redis: QueueTarget;
  /** In the same database, hence on PostgreSQL only; see `QUEUE_KINDS`. */
  readonly postgres: QueueTarget;
  drop(): Promise<void>;
}

export async function createTestBackends(): Promise<TestBackends> {
  const database = await createTestDatabase();
  const keys = redisPrefix();
  return {
    database,
    redis: { redis: inject('redisUrl'), prefix: keys.prefix },
    get postgres(): QueueTarget {
      if (onPostgres) return { postgres: database.url };
      throw new Error('There is no queue on PostgreSQL beside MariaDB: iterate over QUEUE_KINDS.');
    },
    drop: async () => {
      await keys.cleanup();
      await database.drop();
    },
  };
}

export interface TestAppOptions {
  readonly url: string;
  /** Merged over options that make tests fast. */
  readonly events?: EventsModuleOptions;
  readonly providers?: Provider[];
  readonly controllers?: Type[];
  readonly imports?: (DynamicModule | Type)[];
  readonly dataSource?: Partial<DataSourceOptions>;
  /** Statements that every connection begins with. */
  readonly session?: readonly string[];
}

export interface TestApp {
  readonly context: INestApplicationContext;
  readonly dataSource: DataSource;
  readonly bus: EventBus;
  readonly log: EventLog;
  readonly deadLetters: DeadLetters;
  readonly health: EventsHealth;
  readonly signals: Signals;
  close(): Promise<void>;
}

/** Boots a Nest application with TypeORM and this library, as a user would. */
export async function startTestApp(options: TestAppOptions): Promise<TestApp> {
  @Module({
    imports: [
      TypeOrmModule.forRootAsync({
        useFactory: () => dataSourceOptions(options.url, options.dataSource),
        ...(options.session !== undefined && {
          dataSourceFactory: async (settings) => {
            const dataSource = await new DataSource(settings!).initialize();
            await onEveryConnection(dataSource, options.session!);
            return dataSource;
          },
        }),
      }),
      EventsModule.forRoot({ ...FAST, ...options.events }),
      ...(options.imports ?? []),
    ],
    providers: options.providers ?? [],
    controllers: options.controllers ?? [],
  })
  class TestModule {}
  const context = await NestFactory.createApplicationContext(TestModule, {
    logger: process.env['TEST_LOGS'] === undefined ? false : ['error', 'warn', 'log', 'debug'],
    abortOnError: false,
  });
  return toTestApp(context);
}

/** What tests use of a booted application. */
export function toTestApp(context: INestApplicationContext): TestApp {
  return {
    context,
    dataSource: context.get(DataSource),
    bus: context.get(EventBus),
    log: context.get(EventLog),
    deadLetters: context.get(DeadLetters),
    health: context.get(EventsHealth),
    signals: context.get(Signals),
    close: () => context.close(),
  };
}
