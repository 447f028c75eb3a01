import { Redis } from 'ioredis';
import { describe, expect, inject, it, onTestFinished } from 'vitest';
import { startRedis } from '../support/services.js';
import { eventually } from '../support/wait.js';
import { ownServer, proxied } from './servers.js';
import { orderIds, Shop } from './shop.js';

describe('Redis', () => {
  it('D4: is killed and comes back empty: emits go on meanwhile, all of it is handled', async () => {
    const redis = await ownServer(startRedis);
    const shop = await Shop.open('redis', { redisUrl: redis.url });
    const child = await shop.start({ report: ['queue.unavailable'] });
    await redis.kill();
    const orders = orderIds(20);
    child.send({ do: 'emit', orders });
    await child.told('emitted');
    await child.told('signal', ({ name }) => name === 'queue.unavailable');
    expect(await shop.effects()).toEqual([]);
    await redis.restart();
    await shop.expectHandled(orders);
    expect(await shop.attempts()).toEqual([1]);
    expect(child.stderr).toBe('');
  });

  it.each(['cut', 'blackhole'] as const)('D4: is out of reach for a while (%s)', async (fault) => {
    const { proxy, url } = await proxied(inject('redisUrl'));
    const shop = await Shop.open('redis', { redisUrl: url });
    const child = await shop.start({ report: ['queue.unavailable'] });
    child.send({ do: 'emit', orders: ['before'] });
    await shop.expectHandled(['before']);
    proxy[fault]();
    const orders = orderIds(20);
    child.send({ do: 'emit', orders });
    await child.told('emitted');
    await child.told('signal', ({ name }) => name === 'queue.unavailable');
    proxy.heal();
    await shop.expectHandled(['before', ...orders]);
    expect(await shop.attempts()).toEqual([1]);
    expect(child.stderr).toBe('');
  });

  it('D5: FLUSHALL while deliveries wait and run: rescued, and no job is left', async () => {
    const redis = await ownServer(startRedis);
    const shop = await Shop.open('redis', { redisUrl: redis.url });
    const child = await shop.start({
      work: { record: 'gated' },
      events: { queues: { default: { concurrency: 5 } } },
    });
    const orders = orderIds(20);
    child.send({ do: 'emit', orders });
    await child.toldTimes('started', 5, ({ handler }) => handler === 'record');
    await eventually(async () => (await shop.deliveries()).length === 40, { what: 'all relayed' });
    const client = new Redis(redis.url);
    onTestFinished(() => client.disconnect());
    await client.flushall();
    child.send({ do: 'release' });
    // What ran has lost its job: it is pushed again, perhaps before the first run is over.
    await shop.expectHandled(orders, { recordEffects: 'many' });
    expect(await shop.attempts()).toEqual([1]);
    await eventually(async () => (await jobKeys(client)).length === 0, { what: 'no job is left' });
  });
});

/** Keys of jobs; BullMQ's other keys end in words. */
async function jobKeys(client: Redis): Promise<string[]> {
  return (await client.keys('*')).filter((key) => /:default-\d+-[\w-]+-\d+$/.test(key));
}
