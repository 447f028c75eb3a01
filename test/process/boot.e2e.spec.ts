import { describe, expect, inject, it } from 'vitest';
import { at, proxied } from './servers.js';
import { BACKENDS, Shop } from './shop.js';

/** Nobody listens on port 1. */
const NOWHERE = '127.0.0.1:1';

describe('a boot', () => {
  it.each(['exit', 'close'] as const)(
    'with PostgreSQL out of reach fails with its reason and code 1 (%s)',
    async (onBootFailure) => {
      const shop = await Shop.open('redis');
      const child = shop.launch({ databaseUrl: at(shop.databaseUrl, NOWHERE), onBootFailure });
      expect(await child.exited).toMatchObject({ code: 1, signal: null });
      const printed = child.stdout + child.stderr;
      expect(printed).toContain(`ECONNREFUSED ${NOWHERE}`);
    },
  );

  it('without the tables, where it may not migrate, fails naming the migration', async () => {
    const shop = await Shop.open('redis');
    const child = shop.launch({ events: { migrate: false }, onBootFailure: 'close' });
    expect(await child.exited).toMatchObject({ code: 1, signal: null });
    expect((await child.told('boot-failed')).error).toMatch(
      /EventsSchemaOutdatedError.*CreateDurableEvents1763683200000/s,
    );
  });

  it('D4: with Redis out of reach goes well, says so, and drains when Redis is back', async () => {
    const { proxy, url } = await proxied(inject('redisUrl'));
    proxy.cut();
    const shop = await Shop.open('redis', { redisUrl: url });
    const child = await shop.start({ report: ['queue.unavailable', 'relay.failed'] });
    expect(child.stdout).toMatch(
      new RegExp(`WARN.*Redis at 127.0.0.1:${proxy.port} can't be reached`),
    );
    child.send({ do: 'emit', orders: ['o1'] });
    await child.told('emitted');
    await child.told('signal', ({ name }) => name === 'relay.failed');
    // Not relayed into a process's memory: it stays in the outbox.
    expect(await shop.events()).toEqual({ outbox: 1, log: 0 });
    proxy.heal();
    await shop.expectHandled(['o1']);
    expect(child.stderr).toBe('');
  });

  it('D14: with the queue’s PostgreSQL out of reach goes well, and drains when it is back', async () => {
    const shop = await Shop.open('postgres');
    const { proxy, url } = await proxied(shop.databaseUrl);
    proxy.cut();
    const child = await shop.start({
      report: ['relay.failed'],
      events: { queue: { postgres: url } },
    });
    expect(child.stdout).toMatch(new RegExp(`WARN.*127.0.0.1:${proxy.port}.* can't be reached`));
    child.send({ do: 'emit', orders: ['o1'] });
    await child.told('emitted');
    await child.told('signal', ({ name }) => name === 'relay.failed');
    proxy.heal();
    await shop.expectHandled(['o1']);
    expect(child.stderr).toBe('');
  });

  it('D14: whose connection to the queue’s PostgreSQL breaks goes well, and drains later', async () => {
    const shop = await Shop.open('postgres');
    const first = await shop.start();
    first.kill('SIGKILL');
    const { proxy, url } = await proxied(shop.databaseUrl);
    const lock = await shop.lock('bullmq.migration');
    const child = shop.launch({ events: { queue: { postgres: url } } });
    await lock.awaited();
    proxy.cut();
    await lock.release();
    await child.told('ready');
    child.send({ do: 'emit', orders: ['o1'] });
    proxy.heal();
    await shop.expectHandled(['o1']);
    expect(child.stderr).toBe('');
  });
});

describe.each(BACKENDS)('a boot that fails midway, with BullMQ on %s', (backend) => {
  it.each(['factory', 'onModuleInit', 'onApplicationBootstrap'] as const)(
    'E8: in the %s of the application: nothing keeps the process alive',
    async (failIn) => {
      const shop = await Shop.open(backend);
      const child = shop.launch({ failIn, onBootFailure: 'close' });
      const { error } = await child.told('boot-failed');
      expect(error).toContain(`the application fails in its ${failIn}`);
      expect(await child.exited).toMatchObject({ code: 1, signal: null });
    },
  );
});
