import { afterEach, describe, expect, it, vi } from 'vitest';
import { handler, record, relayOnce, type ContractContext } from './contract-context.js';

/** Of the sessions, and of the process: both must not matter. Offsets, as every server knows them. */
const ZONES = [
  ['+00:00', 'UTC'],
  ['+13:00', 'America/Los_Angeles'],
  ['-11:00', 'Pacific/Kiritimati'],
] as const;

export function describeTimes(context: ContractContext): void {
  /** Where there are sessions, they are in the zone. */
  const zonedBus = async (timeZone: string) =>
    context.bus(context.database.sql?.connections && (await context.connect({ timeZone })));

  afterEach(() => void vi.unstubAllEnvs());

  describe.each(ZONES)('B6: with sessions in %s and the process in %s', (timeZone, processZone) => {
    it('times come out as they went in', async () => {
      vi.stubEnv('TZ', processZone);
      const { store } = await zonedBus(timeZone);
      const times = [
        '2024-06-15T12:34:56.789Z',
        '2024-03-10T02:30:00.001Z', // does not exist in Los Angeles
        '2024-11-03T01:30:00.999Z', // exists twice there
        '1969-12-31T23:59:59.999Z',
        '2038-01-19T03:14:08.000Z',
        '0001-01-02T00:00:00.000Z',
        '9999-12-31T23:59:59.999Z',
      ];
      await store.append(times.map((occurredAt) => record({ occurredAt })));
      const { events } = await relayOnce(store);
      expect(events.map(({ occurredAt }) => occurredAt)).toEqual(times);
      const read = await store.eventById(events[0]!.eventId);
      expect(read?.occurredAt).toBe(times[0]);
    });

    it('the database’s clock decides what is due, and is ours', async () => {
      vi.stubEnv('TZ', processZone);
      const bus = await zonedBus(timeZone);
      const peer = context.peer(bus);
      await bus.store.registerHandlers([handler('mails')]);
      const before = Date.now();
      await bus.store.append([record(), record({ delayMs: 60_000 })]);
      const { events } = await relayOnce(peer, { batchSize: 10, rescueAfterMs: 60_000 });
      expect(events).toHaveLength(1);
      await peer.complete([{ position: 1, handler: 'mails', epoch: 0 }]);
      const after = Date.now();
      const found = await bus.store.eventById(events[0]!.eventId);
      const [delivery] = found!.deliveries;
      for (const time of [found!.occurredAt, delivery?.queuedAt, delivery?.completedAt]) {
        expect(Date.parse(time!)).toBeGreaterThanOrEqual(before - 1_000);
        expect(Date.parse(time!)).toBeLessThanOrEqual(after + 1_000);
      }
      expect((await bus.store.rescue({ batchSize: 10, rescueAfterMs: 0 })).deliveries).toEqual([]);
    });
  });

  it('what waits can be brought nearer, so that no test has to wait for it', async () => {
    const { store, stores, namespace } = await context.bus();
    await store.registerHandlers([handler('retried'), handler('lost')]);
    await store.append([record(), record({ delayMs: 3_600_000 })]);
    const limits = { batchSize: 10, rescueAfterMs: 7_200_000 };
    const { events } = await relayOnce(store, limits);
    const ref = { position: 1, handler: 'retried', epoch: 0 };
    const attempt = { ...ref, attempt: 1, error: 'no', dead: false, retryInMs: 3_600_000 };
    await store.fail([attempt], 0);
    await context.database.advance(namespace, 3_540_000);
    expect(await store.hasDue()).toBe(false);
    expect((await store.rescue(limits)).deliveries).toEqual([]);
    const { deliveries } = await store.queuedDeliveries(10);
    const dueIn = deliveries.find((each) => each.handler === 'retried')?.dueInMs;
    expect(dueIn).toBeGreaterThan(0);
    expect(dueIn).toBeLessThanOrEqual(60_000);
    await context.database.advance(namespace, 61_000);
    expect(await store.hasDue()).toBe(true);
    expect((await store.rescue(limits)).deliveries).toMatchObject([{ handler: 'retried' }]);
    await store.complete([ref]);
    await context.database.advance(namespace, 3_600_000);
    expect((await store.rescue(limits)).deliveries).toMatchObject([{ handler: 'lost' }]);
    // What has happened keeps its time.
    const found = await store.eventById(events[0]!.eventId);
    expect(found?.occurredAt).toBe(events[0]?.occurredAt);
    expect((await stores.health.figures(10)).oldestQueuedMs).toBeLessThan(60_000);
  });

  it('times have milliseconds at least: what follows is not before, and not all of one second', async () => {
    const { store } = await context.bus();
    for (let index = 0; index < 5; index++) {
      await store.append([record()]);
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
    const { events } = await relayOnce(store);
    const times = events.map(({ occurredAt }) => occurredAt);
    expect(times.toSorted()).toEqual(times);
    expect(new Set(times).size).toBe(5);
  });
}
