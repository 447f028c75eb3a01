import type {
  OnApplicationBootstrap,
  OnApplicationShutdown,
  OnModuleDestroy,
  OnModuleInit,
} from '@nestjs/common';
import { settleWithin } from '../common/time-limit.js';
import type { EventsTesting } from './events-testing.js';
import type { TestingHandlers } from './testing-handlers.js';
import type { TestingStorageParts } from './testing-storage.js';

/** A database in which the test has left locks is not waited for longer, in ms. */
const CLEAR_LIMIT_MS = 5_000;

interface LifecycleParts {
  readonly testing: EventsTesting;
  readonly handlers: TestingHandlers;
  readonly storage: TestingStorageParts;
  readonly unwatch: () => void;
  /** The namespace is the test's own: nothing of it is to stay. */
  readonly clearAtEnd: boolean;
}

/** Finds and subscribes handlers when the application under test boots, and cleans up behind it. */
export class TestingLifecycle
  implements OnModuleInit, OnApplicationBootstrap, OnModuleDestroy, OnApplicationShutdown
{
  constructor(private readonly parts: LifecycleParts) {}

  onModuleInit(): void {
    this.parts.handlers.explore();
  }

  onApplicationBootstrap(): Promise<void> {
    return this.parts.handlers.ready();
  }

  /** Before TypeORM's module destroys the DataSource. */
  async onModuleDestroy(): Promise<void> {
    const { testing, storage, clearAtEnd } = this.parts;
    await settleWithin(testing.close(), CLEAR_LIMIT_MS);
    if (clearAtEnd) await settleWithin(storage.clear(), CLEAR_LIMIT_MS);
  }

  onApplicationShutdown(): void {
    this.parts.unwatch();
    this.parts.storage.close();
  }
}
