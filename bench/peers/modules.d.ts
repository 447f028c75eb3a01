// What the benchmark uses of its peers: they are installed only where it runs, and types are checked
// everywhere.

declare module 'graphile-worker' {
  interface Runner {
    stop(): Promise<void>;
  }
  interface RunnerOptions {
    preset: { worker: Record<string, unknown> };
    taskList: Record<string, (payload: unknown) => Promise<void> | void>;
    noHandleSignals?: boolean;
  }
  export function run(options: RunnerOptions): Promise<Runner>;
  export function runMigrations(options: { connectionString: string }): Promise<void>;
}

declare module 'pg-boss' {
  interface Executor {
    executeSql(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>;
  }
  export class PgBoss {
    constructor(options: Record<string, unknown>);
    on(name: 'error', listener: (error: Error) => void): void;
    start(): Promise<void>;
    createQueue(name: string, options: Record<string, unknown>): Promise<void>;
    insert(name: string, jobs: { data: object }[], options: { db: Executor }): Promise<unknown>;
    work(
      name: string,
      options: Record<string, unknown>,
      handler: (jobs: { id: string; data: unknown }[]) => Promise<unknown>,
    ): Promise<string>;
    stop(options: Record<string, unknown>): Promise<void>;
  }
}

declare module 'pg-transactional-outbox' {
  export const DatabaseSetup: Record<string, (config: Record<string, unknown>) => string>;
  export function initializePollingMessageListener(
    config: Record<string, unknown>,
    handler: { handle(message: { payload: unknown }): Promise<void> },
    logger: unknown,
    strategies?: Record<string, unknown>,
  ): [shutdown: () => Promise<void>];
  export function getDisabledLogger(): unknown;
}

declare module '@fullstackhouse/nestjs-outbox' {
  import type { DynamicModule } from '@nestjs/common';
  export const OutboxModule: { registerAsync(options: Record<string, unknown>): DynamicModule };
  export function OnEvent(name: string): MethodDecorator;
}

declare module '@fullstackhouse/nestjs-outbox-typeorm-driver' {
  import type { DataSource, MigrationInterface } from 'typeorm';
  export const TypeORMDatabaseDriverFactory: new (dataSource: DataSource) => object;
  export class TypeOrmOutboxTransportEvent {
    create(name: string, payload: object, expireAt: number, attemptAt: number): this;
  }
  export const OutboxTransportEventMigrations: (new () => MigrationInterface)[];
}
