import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { eventsMigrator, EventsModule } from 'nestjs-durable-events';
import { DataSource, EntitySchema } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createStores } from '../../lib/store/create-store.js';
import { DEFAULT_TABLES, SCHEMA_VERSION } from '../../lib/store/migrations/migrator.js';
import { appendMany } from '../contract/contract-context.js';

const Order = new EntitySchema({
  name: 'orders',
  columns: { id: { type: Number, primary: true } },
});

let dataSource: DataSource;

beforeEach(async () => {
  dataSource = await new DataSource({
    type: 'better-sqlite3',
    database: ':memory:',
    entities: [Order],
  }).initialize();
});
afterEach(() => dataSource.destroy());

const tables = async (prefix: string) => {
  const rows = await dataSource.query<{ name: string }[]>(
    `SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '${prefix}%'`,
  );
  return rows.map(({ name }) => name);
};

describe('the schema on SQLite', () => {
  it('is made once however often it is asked for, and removed completely', async () => {
    const runner = dataSource.createQueryRunner();
    expect(await eventsMigrator.currentVersion(runner)).toBe(0);
    await eventsMigrator.up(runner);
    await eventsMigrator.up(runner);
    await eventsMigrator.up(runner, { prefix: 'other_' });
    expect(await eventsMigrator.currentVersion(runner)).toBe(SCHEMA_VERSION);
    expect(await tables('events')).toHaveLength(10);
    await eventsMigrator.down(runner);
    await eventsMigrator.down(runner);
    expect(await tables('events')).toEqual([]);
    expect(await tables('other')).toHaveLength(10);
    expect(await eventsMigrator.currentVersion(runner)).toBe(0);
  });

  it('is made in the open transaction of a migration', async () => {
    const runner = dataSource.createQueryRunner();
    await runner.startTransaction();
    await eventsMigrator.up(runner);
    await runner.rollbackTransaction();
    expect(await tables('events')).toEqual([]);
  });

  it('knows no schemas', async () => {
    const runner = dataSource.createQueryRunner();
    await expect(eventsMigrator.up(runner, { schema: 'app' })).rejects.toThrow(
      'SQLite has no schemas',
    );
    expect(runner.isTransactionActive).toBe(false);
  });

  it('C23: is left alone when the application synchronizes its own', async () => {
    await eventsMigrator.up(dataSource.createQueryRunner());
    const { events } = createStores(
      dataSource,
      { namespace: 'default', tables: DEFAULT_TABLES },
      'tests',
    );
    await appendMany(events, 1);
    await dataSource.synchronize();
    expect(await tables('orders')).toEqual(['orders']);
    expect(await events.hasDue()).toBe(true);
    expect(await tables('events')).toHaveLength(10);
  });
});

describe('EventsModule on SQLite', () => {
  it('stops the boot, and names the module that tests use', async () => {
    @Module({
      imports: [
        TypeOrmModule.forRoot({ type: 'better-sqlite3', database: ':memory:' }),
        EventsModule.forRoot({ queue: { redis: 'redis://127.0.0.1:1' } }),
      ],
    })
    class AppModule {}
    const boot = NestFactory.createApplicationContext(AppModule, {
      logger: false,
      abortOnError: false,
    });
    await expect(boot).rejects.toThrow(/in tests only, by EventsTestingModule/);
  });
});
