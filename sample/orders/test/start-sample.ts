import type { INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { EventsModule } from 'nestjs-durable-events';
import {
  EventsTesting,
  EventsTestingModule,
  type EventsTestingOptions,
} from 'nestjs-durable-events/testing';
import { onTestFinished } from 'vitest';
import { AppModule } from '../src/app.module.js';

/** The whole application, on a database in memory and without a queue; closed with the test. */
export async function startSample(
  options: EventsTestingOptions = {},
): Promise<{ app: INestApplication; events: EventsTesting }> {
  const database = { type: 'better-sqlite3', database: ':memory:' } as const;
  const module = await Test.createTestingModule({
    imports: [AppModule.forRoot({ database, events: {} })],
  })
    .overrideModule(EventsModule)
    .useModule(EventsTestingModule.forRoot(options))
    .compile();
  const app = module.createNestApplication({ logger: false });
  await app.init();
  onTestFinished(() => app.close());
  return { app, events: app.get(EventsTesting) };
}
