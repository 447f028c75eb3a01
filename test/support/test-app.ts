import type { DynamicModule, Provider, Type } from '@nestjs/common';
import type { INestApplicationContext } from '@nestjs/common';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  EventBus,
  EventLog,
  EventsModule,
  Signals,
  type EventsModuleOptions,
  type QueueTarget,
} from 'nestjs-durable-events';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { inject } from 'vitest';
import { createTestDatabase, redisPrefix, type TestDatabase } from './database.js';

/** Fast answers for tests: nothing waits longer than it must. */
const FAST: EventsModuleOptions = {
  relay: { pollInterval: '200ms' },
  workers: { pollInterval: '200ms' },
  defaults: { backoff: { type: 'fixed', delay: 10 } },
};

/** One file's database and queue; every backend's queue lives in both. */
export interface TestBackends {
  readonly database: TestDatabase;
  readonly redis: QueueTarget;
  readonly postgres: QueueTarget;
  drop(): Promise<void>;
}

export async function createTestBackends(): Promise<TestBackends> {
  const database = await createTestDatabase();
  const keys = redisPrefix();
  return {
    database,
    redis: { redis: inject('redisUrl'), prefix: keys.prefix },
    postgres: { postgres: database.url },
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
}

export interface TestApp {
  readonly context: INestApplicationContext;
  readonly dataSource: DataSource;
  readonly bus: EventBus;
  readonly log: EventLog;
  readonly signals: Signals;
  close(): Promise<void>;
}

/** Boots a Nest application with TypeORM and this library, as a user would. */
export async function startTestApp(options: TestAppOptions): Promise<TestApp> {
  @Module({
    imports: [
      TypeOrmModule.forRoot({
        type: 'postgres',
        url: options.url,
        ...options.dataSource,
      } as DataSourceOptions),
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
  return {
    context,
    dataSource: context.get(DataSource),
    bus: context.get(EventBus),
    log: context.get(EventLog),
    signals: context.get(Signals),
    close: () => context.close(),
  };
}
