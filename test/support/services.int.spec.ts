import { Redis } from 'ioredis';
import pg from 'pg';
import { expect, inject, it } from 'vitest';
import { createTestDatabase, redisPrefix } from './database.js';
import { type PrivateServer, startMariadb, startPostgres, startRedis } from './services.js';

it.each([
  ['PostgreSQL', startPostgres],
  ['MariaDB', startMariadb],
  ['Redis', startRedis],
])(
  'a private %s is killed, comes back at the same address, and leaves',
  async (_name, start) => {
    const server = await start();
    const first = server.pid;
    await server.kill();
    expect(isRunning(first)).toBe(false);
    await server.restart();
    expect(isRunning(server.pid)).toBe(true);
    expect(server.url).toContain(`:${server.port}`);
    await server.stop();
    expect(isRunning(server.pid)).toBe(false);
  },
  90_000,
);

it('PostgreSQL keeps what was committed before it was killed', async () => {
  const server = await startPostgres();
  try {
    await query(server, 'create table kept as select 1 as value');
    await server.kill();
    await server.restart();
    expect(await query(server, 'select value from kept')).toEqual([{ value: 1 }]);
  } finally {
    await server.stop();
  }
}, 90_000);

it('a test database is dropped although somebody is connected to it', async () => {
  const database = await createTestDatabase();
  const client = new pg.Client({ connectionString: database.url });
  client.on('error', () => {});
  await client.connect();
  const { rows } = await client.query('select current_database() as name');
  expect(rows).toEqual([{ name: database.name }]);
  await database.drop();
  await expect(new pg.Client({ connectionString: database.url }).connect()).rejects.toThrow(
    'does not exist',
  );
});

it('a Redis prefix is cleaned up without touching other keys', async () => {
  const redis = new Redis(inject('redisUrl'));
  const mine = redisPrefix();
  const other = redisPrefix();
  await redis.mset({ [`${mine.prefix}:a`]: 1, [`${mine.prefix}:b`]: 1, [`${other.prefix}:a`]: 1 });
  await mine.cleanup();
  expect(await redis.exists(`${mine.prefix}:a`, `${mine.prefix}:b`)).toBe(0);
  expect(await redis.exists(`${other.prefix}:a`)).toBe(1);
  await other.cleanup();
  redis.disconnect();
});

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function query(server: PrivateServer, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  const { rows } = await client.query(sql);
  await client.end();
  return rows;
}
