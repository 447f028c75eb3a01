import { describe, expect, it } from 'vitest';
import { startPostgres, type PrivateServer } from '../support/services.js';
import { endingAtOnce, ownServer } from './servers.js';
import { BACKENDS, orderIds, Shop } from './shop.js';

describe.each(BACKENDS)('PostgreSQL, with BullMQ on %s,', (backend) => {
  it.each([
    ['is restarted', (server: PrivateServer) => server.restart()],
    [
      'crashes and recovers',
      async (server: PrivateServer) => {
        await server.kill();
        await server.restart();
      },
    ],
  ])('C12: %s while handlers run: no attempt is counted, all go on', async (_fault, fail) => {
    const postgres = await ownServer(startPostgres);
    const shop = await Shop.open(backend, { postgresUrl: postgres.url });
    const child = await shop.start({ work: { record: 'gated', reserve: 'gated' } });
    child.send({ do: 'emit', orders: ['o1', 'o2'] });
    await child.toldTimes('started', 4);
    await fail(postgres);
    child.send({ do: 'release' });
    await shop.expectHandled(['o1', 'o2'], { recordEffects: 'many' });
    child.send({ do: 'emit', orders: ['o3'] });
    await shop.expectHandled(['o1', 'o2', 'o3'], { recordEffects: 'many' });
    expect(await shop.attempts()).toEqual([1]);
    expect(child.stderr).toBe('');
  });

  it('C12: goes away in the moment it accepts a connection: the process lives on', async () => {
    const shop = await Shop.open(backend);
    const proxy = await endingAtOnce(shop.databaseUrl);
    const child = await shop.start({
      databaseUrl: proxy.url,
      events: { queue: backend === 'postgres' ? { postgres: proxy.url } : shop.queue },
      work: { record: 'gated' },
      report: ['delivery.postponed'],
    });
    const orders = orderIds(20);
    child.send({ do: 'emit', orders });
    await child.toldTimes('started', 20, ({ handler }) => handler === 'record');
    proxy.failing = true;
    child.send({ do: 'release' });
    await child.told('signal');
    proxy.failing = false;
    // A run whose completion could not be marked in time is repeated.
    await shop.expectHandled(orders, { recordEffects: 'many' });
    expect(await shop.attempts()).toEqual([1]);
    expect(child.stderr).toBe('');
  });

  it('C12: is down when the handlers fail, and back soon: no attempt is counted', async () => {
    const postgres = await ownServer(startPostgres);
    const shop = await Shop.open(backend, { postgresUrl: postgres.url });
    const child = await shop.start({
      work: { record: 'gated', reserve: 'gated' },
      // Longer than a machine stands still: a job whose lock expires is run twice.
      events: { workers: { pollInterval: '200ms', lockDuration: '5s' } },
    });
    child.send({ do: 'emit', orders: ['o1', 'o2'] });
    await child.toldTimes('started', 4);
    await postgres.kill();
    child.send({ do: 'release' });
    await child.toldTimes('failed', 4);
    await postgres.restart();
    await shop.expectHandled(['o1', 'o2']);
    expect(await shop.attempts()).toEqual([1]);
    expect(child.stderr).toBe('');
  });
});
