import { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, inject, it, onTestFinished } from 'vitest';
import { Signals } from 'nestjs-durable-events';
import { RedisBackend } from '../../lib/queue/redis/redis-backend.js';
import { upTo } from '../support/deliveries.js';
import { TcpProxy } from '../support/proxy.js';

const warnings: Error[] = [];
const note = (warning: Error) => warnings.push(warning);
beforeEach(() => {
  warnings.length = 0;
  process.on('warning', note);
});
afterEach(() => {
  process.off('warning', note);
});

function open(target: ConstructorParameters<typeof RedisBackend>[0]): RedisBackend {
  const backend = new RedisBackend(target, 'test', new Signals('test'));
  onTestFinished(() => backend.disconnect());
  return backend;
}

it.each(['cut', 'blackhole'] as const)(
  'many who ask for a Redis out of reach (%s) get an answer and leave nothing behind',
  async (fault) => {
    const { hostname, port } = new URL(inject('redisUrl'));
    const proxy = await TcpProxy.listen(hostname, Number(port));
    onTestFinished(() => proxy.close());
    proxy[fault]();
    const backend = open(`redis://127.0.0.1:${proxy.port}`);
    const asked = await Promise.allSettled(upTo(20).map(() => backend.connect()));
    expect(new Set(asked.map(({ status }) => status))).toEqual(new Set(['rejected']));
    proxy.heal();
    await expect
      .poll(() => backend.connect().then(() => 'connected'), { timeout: 5_000 })
      .toBe('connected');
    expect(warnings).toEqual([]);
  },
);

it('describes where it is without credentials', () => {
  const url = 'redis://user:secret@127.0.0.1:1/0';
  expect(open(url).description).toBe('Redis at 127.0.0.1:1');
  expect(open({ path: '/tmp/none.sock' }).description).toBe('Redis at /tmp/none.sock');
});

it('takes an instance, which it neither uses nor closes', async () => {
  const redis = new Redis(inject('redisUrl'), { maxRetriesPerRequest: 3 });
  onTestFinished(() => redis.disconnect());
  const backend = open(redis);
  await backend.connect();
  await backend.disconnect();
  expect(await redis.ping()).toBe('PONG');
});

it('opens no connection before it is asked to', async () => {
  const { hostname, port } = new URL(inject('redisUrl'));
  const named = (connectionName: string) =>
    open({ host: hostname, port: Number(port), connectionName });
  named(`idle-${process.pid}`);
  await named(`asked-${process.pid}`).connect();
  const redis = new Redis(inject('redisUrl'));
  onTestFinished(() => redis.disconnect());
  const clients = String(await redis.client('LIST'));
  expect(clients).toContain(`asked-${process.pid}`);
  expect(clients).not.toContain(`idle-${process.pid}`);
});
