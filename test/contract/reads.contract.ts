import { describe, expect, it } from 'vitest';
import { newEventId } from '../../lib/event/event-id.js';
import {
  appendMany,
  handler,
  record,
  relayOnce,
  type ContractContext,
} from './contract-context.js';

export function describeReads(context: ContractContext): void {
  describe('readEvents', () => {
    it('finds events by position and leaves out those that are not there', async () => {
      const { store } = await context.bus();
      await appendMany(store, 5);
      const { events } = await relayOnce(store);
      const found = await store.readEvents([4, 99, 2, 2]);
      expect(found.toSorted((a, b) => a.position - b.position)).toEqual([events[1], events[3]]);
      expect(await store.readEvents([])).toEqual([]);
    });

    it('finds nothing of another namespace', async () => {
      const { store } = await context.bus();
      await appendMany(store, 1);
      await relayOnce(store);
      expect(await (await context.bus()).store.readEvents([1])).toEqual([]);
    });
  });

  describe('eventsOfEntity', () => {
    const entity = { entityType: 'order', entityId: 'o1' };

    it('reads the newest, oldest first, those that wait last', async () => {
      const { store } = await context.bus();
      await store.registerHandlers([handler('b'), handler('a')]);
      const logged = [record(entity), record(), record(entity), record(entity)];
      await store.append(logged);
      await relayOnce(store);
      const waiting = [record(entity), record(entity)];
      await store.append(waiting);
      const [one, , two, three] = logged.map(({ eventId }) => eventId);
      const [four, five] = waiting.map(({ eventId }) => eventId);
      const ids = async (limit: number) => {
        const records = await store.eventsOfEntity('order', 'o1', limit);
        return records.map(({ eventId }) => eventId);
      };
      expect(await ids(10)).toEqual([one, two, three, four, five]);
      expect(await ids(3)).toEqual([three, four, five]);
      expect(await ids(1)).toEqual([five]);
      const records = await store.eventsOfEntity('order', 'o1', 10);
      expect(records.map(({ position }) => position)).toEqual([1, 3, 4, null, null]);
      expect(records.map(({ deliveries }) => deliveries.map((each) => each.handler))).toEqual([
        ['a', 'b'],
        ['a', 'b'],
        ['a', 'b'],
        [],
        [],
      ]);
      expect(await store.eventsOfEntity('order', 'o2', 10)).toEqual([]);
      expect(await store.eventsOfEntity('user', 'o1', 10)).toEqual([]);
      expect(await (await context.bus()).store.eventsOfEntity('order', 'o1', 10)).toEqual([]);
    });

    it('tells what became of each delivery', async () => {
      const { store } = await context.bus();
      await store.registerHandlers(['done', 'dead', 'queued'].map((id) => handler(id)));
      await store.append([record(entity)]);
      await relayOnce(store);
      await store.complete([{ position: 1, handler: 'done', epoch: 0 }]);
      const dead = { position: 1, handler: 'dead', epoch: 0, attempt: 1, dead: true, retryInMs: 0 };
      await store.fail([{ ...dead, error: 'no way' }], 0);
      const [found] = await store.eventsOfEntity('order', 'o1', 1);
      const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string;
      const base = { maxAttempts: 5, queuedAt: time };
      const times = {
        lastAttemptAt: null,
        retryAt: null,
        completedAt: null,
        deadAt: null,
        discardedAt: null,
        discardReason: null,
      };
      expect(found?.deliveries).toEqual([
        {
          ...base,
          ...times,
          handler: 'dead',
          status: 'dead',
          attempts: 1,
          lastError: 'no way',
          lastAttemptAt: time,
          deadAt: time,
        },
        {
          ...base,
          ...times,
          handler: 'done',
          status: 'completed',
          attempts: 1,
          lastError: null,
          lastAttemptAt: time,
          completedAt: time,
        },
        { ...base, ...times, handler: 'queued', status: 'queued', attempts: 0, lastError: null },
      ]);
    });
  });

  describe('eventById', () => {
    it('finds an event before and after it is relayed, however its id is written', async () => {
      const { store } = await context.bus();
      await store.registerHandlers([handler('mails')]);
      const event = record();
      await store.append([event]);
      expect(await store.eventById(event.eventId)).toMatchObject({
        position: null,
        deliveries: [],
      });
      await relayOnce(store);
      expect(await store.eventById(event.eventId.toUpperCase())).toMatchObject({
        eventId: event.eventId,
        position: 1,
        deliveries: [{ handler: 'mails' }],
      });
    });

    it('finds nothing that is not there, or in another namespace', async () => {
      const { store } = await context.bus();
      const [eventId] = await appendMany(store, 1);
      expect(await store.eventById(newEventId())).toBeUndefined();
      expect(await (await context.bus()).store.eventById(eventId!)).toBeUndefined();
    });
  });
}
