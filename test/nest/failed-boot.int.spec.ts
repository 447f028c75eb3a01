import { Injectable } from '@nestjs/common';
import { Redis } from 'ioredis';
import {
  defineEvent,
  EventBus,
  DuplicateHandlerError,
  EventsSchemaOutdatedError,
  type QueueTarget,
} from 'nestjs-durable-events';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { QUEUE_KINDS, type QueueKind } from '../support/bull.js';
import { onEvent } from '../support/inline-handler.js';
import { newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';
import { eventually } from '../support/wait.js';

const Happened = defineEvent('happened');

let backends: TestBackends;
let redis: Redis;
beforeAll(async () => {
  backends = await createTestBackends();
  redis = new Redis(inject('redisUrl'));
});
afterAll(async () => {
  redis.disconnect();
  await backends.drop();
});

/** The queue, over connections that can be told from all others. */
function namedQueue(kind: QueueKind, name: string): QueueTarget {
  if (kind === 'postgres') {
    return { postgres: { connectionString: backends.database.url, application_name: name } };
  }
  const { hostname, port } = new URL(inject('redisUrl'));
  const options = { host: hostname, port: Number(port), connectionName: name };
  return { ...backends.redis, redis: options };
}

async function onPostgresQueue(statement: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: backends.database.url });
  await client.connect();
  try {
    return (await client.query(statement)).rows;
  } finally {
    await client.end();
  }
}

async function isConnected(kind: QueueKind, name: string): Promise<boolean> {
  if (kind === 'redis') return String(await redis.client('LIST')).includes(name);
  const rows = await onPostgresQueue(
    `SELECT 1 FROM pg_stat_activity WHERE application_name = '${name}'`,
  );
  return rows.length > 0;
}

it.each(QUEUE_KINDS)('E8: a boot that fails leaves nothing connected to %s', async (kind) => {
  const name = newNamespace();
  const twins = ['one', 'two'].map(() => onEvent(Happened, { id: 'twin' }, () => undefined));
  const options = { namespace: name, queue: namedQueue(kind, name) };
  await expect(
    startApp({ url: backends.database.url, events: options, providers: twins }),
  ).rejects.toBeInstanceOf(DuplicateHandlerError);
  expect(await isConnected(kind, name)).toBe(false);

  // As a check of the check.
  const app = await startApp({ url: backends.database.url, events: options });
  await eventually(() => isConnected(kind, name), { what: 'the worker is connected' });
  await app.close();
  await eventually(async () => !(await isConnected(kind, name)), { what: 'all is closed' });
});

it.runIf(QUEUE_KINDS.includes('postgres'))(
  'E8: nor does one that finds no tables for the queue and may not make them',
  async () => {
    await onPostgresQueue('DROP SCHEMA IF EXISTS bullmq CASCADE');
    const name = newNamespace();
    const options = { namespace: name, queue: namedQueue('postgres', name), migrate: false };
    await expect(startApp({ url: backends.database.url, events: options })).rejects.toBeInstanceOf(
      EventsSchemaOutdatedError,
    );
    await eventually(async () => !(await isConnected('postgres', name)), { what: 'all is closed' });
  },
);

it('a provider may emit while the app boots; the event is handled when it has', async () => {
  const handled: unknown[] = [];
  @Injectable()
  class Early {
    constructor(
      private readonly dataSource: DataSource,
      private readonly bus: EventBus,
    ) {}
    async onModuleInit(): Promise<void> {
      await this.dataSource.transaction(() => this.bus.emit(Happened, {}));
    }
  }
  await startApp({
    url: backends.database.url,
    events: { namespace: newNamespace(), queue: backends.redis },
    providers: [Early, onEvent(Happened, { id: 'noted' }, ({ name }) => handled.push(name))],
  });
  await eventually(() => handled.length > 0, { what: 'the early event is handled' });
  expect(handled).toEqual(['happened']);
});
