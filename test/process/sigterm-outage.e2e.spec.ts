import { describe, expect, inject, it } from 'vitest';
import { proxied } from './servers.js';
import { BACKENDS, expectEnd, GRACE_MS, Shop, SLACK_MS, type ShopProcess } from './shop.js';

describe('SIGTERM while Redis is out of reach', () => {
  it.each(['cut', 'blackhole'] as const)('D12: idle (%s)', async (fault) => {
    const { proxy, url } = await proxied(inject('redisUrl'));
    const shop = await Shop.open('redis', { redisUrl: url });
    const child = await shop.start({ onSigterm: 'close' });
    child.send({ do: 'emit', orders: ['o1'] });
    await shop.expectHandled(['o1']);
    proxy[fault]();
    child.kill('SIGTERM');
    await expectClosedInTime(child);
  });

  it.each(['cut', 'blackhole'] as const)('D12: with handlers running (%s)', async (fault) => {
    const { proxy, url } = await proxied(inject('redisUrl'));
    const shop = await Shop.open('redis', { redisUrl: url });
    const child = await shop.start({
      onSigterm: 'close',
      work: { record: 'gated', reserve: 'gated' },
      // Longer than a machine stands still: a job whose lock expires is run twice.
      events: { workers: { pollInterval: '200ms', lockDuration: '5s' } },
    });
    child.send({ do: 'emit', orders: ['o1'] });
    await child.toldTimes('started', 2);
    proxy[fault]();
    child.kill('SIGTERM');
    await child.told('closing');
    child.send({ do: 'release' });
    await expectClosedInTime(child);
    expect(await shop.wrongs(['o1'])).toEqual([]);
    proxy.heal();
    // The acknowledgements were lost: the repeats do nothing.
    const second = await shop.start({ report: ['delivery.skipped'] });
    await second.toldTimes('signal', 2);
    await shop.expectHandled(['o1']);
  });
});

describe('SIGTERM while PostgreSQL is in a black hole', () => {
  it.each(BACKENDS)('invariant 10: exits in time (jobs on %s)', async (backend) => {
    const shop = await Shop.open(backend);
    const { proxy, url } = await proxied(shop.databaseUrl);
    const queue = backend === 'postgres' ? { postgres: url } : shop.queue;
    const child = await shop.start({ databaseUrl: url, events: { queue } });
    child.send({ do: 'emit', orders: ['o1'] });
    await shop.expectHandled(['o1']);
    proxy.blackhole();
    child.kill('SIGTERM');
    await expectEnd(child);
  });
});

/**
 * The app is closed in time, and then the process ends by itself: as soon as BullMQ's own pauses
 * between its tries to reach Redis, of up to 5 s, come to their end.
 */
async function expectClosedInTime(child: ShopProcess): Promise<void> {
  await child.told('closed');
  expect(child.sinceKillMs).toBeLessThan(GRACE_MS + SLACK_MS);
  await expectEnd(child, GRACE_MS + 5_000);
}
