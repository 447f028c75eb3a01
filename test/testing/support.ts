import type { DynamicModule, Provider, Type } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import { TypeOrmModule } from '@nestjs/typeorm';
import { EventBus } from 'nestjs-durable-events';
import {
  EventsTesting,
  EventsTestingModule,
  type EventsTestingOptions,
} from 'nestjs-durable-events/testing';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { onTestFinished } from 'vitest';

export interface Kit {
  readonly module: TestingModule;
  readonly events: EventsTesting;
  readonly bus: EventBus;
  readonly dataSource: DataSource;
}

export interface KitOptions {
  /** Undefined: in memory. */
  readonly database?: DataSourceOptions;
  readonly testing?: EventsTestingOptions;
  readonly providers?: Provider[];
  readonly imports?: (DynamicModule | Type)[];
}

/** An application on the kit; closed with the test. */
export async function startKit(options: KitOptions = {}): Promise<Kit> {
  const { database, testing, providers = [], imports = [] } = options;
  const storage: EventsTestingOptions = database === undefined ? { storage: 'memory' } : {};
  const module = await Test.createTestingModule({
    imports: [
      ...(database === undefined ? [] : [TypeOrmModule.forRoot(database)]),
      EventsTestingModule.forRoot({ ...storage, ...testing }),
      ...imports,
    ],
    providers,
  }).compile();
  await module.init();
  onTestFinished(() => module.close());
  return {
    module,
    events: module.get(EventsTesting),
    bus: module.get(EventBus),
    dataSource: module.get(DataSource),
  };
}
