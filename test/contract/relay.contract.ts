import { describe, expect, it } from 'vitest';
import { parsePayload } from '../../lib/event/payload.js';
import type { LoggedEvent } from '../../lib/store/event-store.js';
import {
  appendMany,
  handler,
  LIMITS,
  record,
  relayOnce,
  type ContractContext,
} from './contract-context.js';

export function describeRelay(context: ContractContext): void {
  const deliveries = (namespace: string) =>
    context.rows.select('deliveries', namespace, ['position', 'handler']);
  const waiting = async (namespace: string) =>
    (await context.rows.select('outbox', namespace, ['seq'])).length;
  const betweenConnections = context.needing('connections');
  const positionsOf = (events: readonly LoggedEvent[]) => events.map(({ position }) => position);
  const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

  describe('prepare', () => {
    it('gives a namespace one identity for ever, whoever asks first', async () => {
      const bus = await context.bus();
      const identity = await bus.store.prepare();
      const peers = Array.from({ length: 5 }, () => context.peer(bus).prepare());
      expect(new Set(await Promise.all(peers))).toEqual(new Set([identity]));
      expect(identity).toMatch(/^[\w-]+$/);
      expect(await (await context.bus()).store.prepare()).not.toBe(identity);
    });
  });

  describe('relay', () => {
    it('has nothing to do in an empty outbox', async () => {
      const { store } = await context.bus();
      expect(await store.hasDue()).toBe(false);
      expect(await store.relay(LIMITS)).toEqual({ events: [], handlers: [], full: false });
    });

    it('moves events in their order, to positions from 1 on', async () => {
      const { store, namespace } = await context.bus();
      const ids = await appendMany(store, 20);
      expect(await store.hasDue()).toBe(true);
      const { events, full } = await relayOnce(store);
      expect(events.map(({ eventId }) => eventId)).toEqual(ids);
      expect(positionsOf(events)).toEqual(upTo(20));
      expect(events.map((event) => parsePayload(event).data)).toEqual(
        Array.from({ length: 20 }, (_, i) => i),
      );
      expect(full).toBe(false);
      expect(await store.hasDue()).toBe(false);
      expect(await waiting(namespace)).toBe(0);
      expect(await store.readEvents(upTo(20))).toEqual(expect.arrayContaining([...events]));
    });

    it('goes on where it stopped, in batches that are bounded', async () => {
      const { store } = await context.bus();
      await appendMany(store, 25);
      const limits = { ...LIMITS, batchSize: 10 };
      const batches = [];
      for (let pass = 0; pass < 4; pass++) batches.push(await relayOnce(store, limits));
      expect(batches.map(({ events }) => events.length)).toEqual([10, 10, 5, 0]);
      expect(batches.map(({ full }) => full)).toEqual([true, true, false, false]);
      expect(batches.flatMap(({ events }) => positionsOf(events))).toEqual(upTo(25));
    });

    betweenConnections(
      'C1: leaves what is not committed, and gives it a later position',
      async () => {
        const { store } = await context.bus();
        const [early, late] = [record(), record()];
        await context.withRunner(async (runner) => {
          await store.append([early], runner);
          await store.append([late]);
          const first = await relayOnce(store);
          expect(first.events.map(({ eventId }) => eventId)).toEqual([late.eventId]);
          await runner.commitTransaction();
        });
        const { events } = await relayOnce(store);
        expect(events).toMatchObject([{ eventId: early.eventId, position: 2 }]);
      },
    );

    for (const isolation of ['REPEATABLE READ', 'SERIALIZABLE'] as const) {
      const name = `sees what others committed just before, where transactions are ${isolation} by default`;
      betweenConnections(name, async () => {
        const dataSource = await context.connect({ isolation });
        const bus = await context.bus(dataSource);
        const emitter = context.peer(bus);
        const passes: LoggedEvent[] = [];
        // Transactions that began earlier and are still open must not disturb it.
        await context.withRunner(async (runner) => {
          await emitter.append([record()], runner);
          for (let round = 0; round < 5; round++) {
            await emitter.append([record()]);
            passes.push(...(await relayOnce(bus.store)).events);
          }
        });
        expect(positionsOf(passes)).toEqual(upTo(5));
      });
    }

    betweenConnections(
      'is busy while another relay holds the namespace, and waits for nobody',
      async () => {
        const { store, namespace } = await context.bus();
        const other = await context.bus();
        await appendMany(store, 1);
        await appendMany(other.store, 1);
        await context.withRunner(async (runner) => {
          await runner.query(
            `SELECT last_position FROM events_relay WHERE namespace = '${namespace}' FOR UPDATE`,
          );
          expect(await store.relay(LIMITS)).toBe('busy');
          expect((await relayOnce(other.store)).events).toHaveLength(1);
        });
        expect((await relayOnce(store)).events).toHaveLength(1);
      },
    );

    it('many relays at once move each event once, without a gap', async () => {
      const bus = await context.bus();
      await bus.store.registerHandlers([handler('a'), handler('b')]);
      const ids = await appendMany(bus.store, 60);
      const moved: LoggedEvent[] = [];
      const work = async () => {
        const store = context.peer(bus);
        while (await store.hasDue()) {
          const batch = await store.relay({ ...LIMITS, batchSize: 7 });
          if (batch !== 'busy') moved.push(...batch.events);
        }
      };
      await Promise.all(Array.from({ length: 4 }, work));
      const sorted = moved.toSorted((a, b) => a.position - b.position);
      expect(sorted.map(({ eventId }) => eventId)).toEqual(ids);
      expect(positionsOf(sorted)).toEqual(upTo(60));
      expect(await deliveries(bus.namespace)).toHaveLength(120);
    });

    betweenConnections(
      'a client killed in the middle of a pass leaves nothing, and the namespace free',
      async () => {
        const bus = await context.bus();
        await bus.store.registerHandlers([handler('mails')]);
        const ids = await appendMany(bus.store, 3);
        const doomed = await context.connect({ poolSize: 1 });
        const session = await context.sessionOf(doomed);
        await context.withRunner(async (runner) => {
          // The pass has the namespace's row, and must wait for whoever has the next position.
          await blockNextPosition(runner, bus.namespace);
          const pass = context
            .peer(bus, doomed)
            .relay(LIMITS)
            .catch((error: unknown) => error);
          await context.untilWaiting(session);
          expect(await bus.store.relay(LIMITS)).toBe('busy');
          await context.connections.endSession(context.sql.dataSource, session);
          expect(bus.store.isInfrastructureError(await pass)).toBe(true);
        });
        expect(await waiting(bus.namespace)).toBe(3);
        expect(await deliveries(bus.namespace)).toEqual([]);
        const { events } = await relayOnce(bus.store);
        expect(events.map(({ eventId }) => eventId)).toEqual(ids);
        expect(positionsOf(events)).toEqual([1, 2, 3]);
      },
    );

    it('holds delayed events back until they are due', async () => {
      const { store, namespace } = await context.bus();
      const [later, now] = [record({ delayMs: 3_600_000 }), record()];
      await store.append([later]);
      expect(await store.hasDue()).toBe(false);
      expect((await relayOnce(store)).events).toEqual([]);
      await store.append([now]);
      expect((await relayOnce(store)).events).toMatchObject([{ eventId: now.eventId }]);
      await context.rows.update('outbox', namespace, { scheduled_at: { agoMs: 1 } });
      expect(await store.hasDue()).toBe(true);
      expect((await relayOnce(store)).events).toMatchObject([
        { eventId: later.eventId, position: 2 },
      ]);
      expect(await store.hasDue()).toBe(false);
    });

    it('a long row of delayed events does not hold up the others, and the other way round', async () => {
      const { store } = await context.bus();
      const due = Array.from({ length: 5 }, () => record({ delayMs: 1 }));
      const plain = Array.from({ length: 5 }, () => record());
      await store.append([...due, ...plain]);
      await new Promise((resolve) => setTimeout(resolve, 5));
      const seen = new Set<string>();
      for (let pass = 0; pass < 5 && seen.size < 10; pass++) {
        const { events } = await relayOnce(store, { ...LIMITS, batchSize: 4 });
        for (const { eventId } of events) seen.add(eventId);
        // Of each kind at most a batch; none waits until the other kind is through.
        expect(events.length).toBeLessThanOrEqual(8);
      }
      expect(seen).toEqual(new Set([...due, ...plain].map(({ eventId }) => eventId)));
    });

    it('takes a delay of a hundred years', async () => {
      const { store } = await context.bus();
      await store.append([record({ delayMs: 100 * 365 * 86_400_000 })]);
      expect(await store.hasDue()).toBe(false);
    });

    it('goes on after the log where somebody deleted the namespace’s row', async () => {
      const bus = await context.bus();
      await appendMany(bus.store, 2);
      await relayOnce(bus.store);
      await context.rows.remove('relay', bus.namespace);
      await appendMany(bus.store, 1);
      expect(await bus.store.relay(LIMITS)).toBe('busy');
      expect(positionsOf((await relayOnce(bus.store)).events)).toEqual([3]);
    });
  });

  describe('fan-out', () => {
    it('makes one delivery per event and subscribed handler', async () => {
      const { store, namespace } = await context.bus();
      await store.registerHandlers([
        handler('both', { events: ['order.placed', 'order.paid'] }),
        handler('paid', { events: ['order.paid'] }),
        handler('twice', { events: ['order.placed', 'order.placed'] }),
        handler('other', { events: ['order.placed2', 'ORDER.PLACED'] }),
      ]);
      await store.append([
        record(),
        record({ name: 'order.paid' }),
        record({ name: 'order.unheard' }),
      ]);
      const { handlers } = await relayOnce(store);
      expect(handlers.map(({ id }) => id)).toEqual(['both', 'other', 'paid', 'twice']);
      expect(await deliveries(namespace)).toEqual([
        { position: '1', handler: 'both' },
        { position: '1', handler: 'twice' },
        { position: '2', handler: 'both' },
        { position: '2', handler: 'paid' },
      ]);
    });

    it('starts them queued, in epoch 0, with no attempt and the handler’s limit', async () => {
      const { store } = await context.bus();
      await store.registerHandlers([handler('mails', { maxAttempts: 7 })]);
      const [eventId] = await appendMany(store, 1);
      await relayOnce(store);
      const ref = { position: 1, handler: 'mails', epoch: 0 };
      expect(await store.deliveryStates([ref])).toEqual([
        { ...ref, eventId, status: 'queued', chunk: null, attempts: 0, maxAttempts: 7 },
      ]);
    });

    it('leaves out former ids of a renamed handler, though an old process registers them again', async () => {
      const bus = await context.bus();
      const renamed = handler('new', { aliases: ['old'] });
      await bus.store.registerHandlers([handler('old'), handler('stays')]);
      await bus.store.registerHandlers([renamed]);
      await context.peer(bus).registerHandlers([handler('old'), handler('stays')]);
      await appendMany(bus.store, 1);
      const { handlers } = await relayOnce(bus.store);
      expect(handlers).toEqual([renamed, handler('stays')]);
      expect((await deliveries(bus.namespace)).map((row) => row.handler)).toEqual(['new', 'stays']);
    });

    it('leaves out handlers that somebody retired', async () => {
      const { store, namespace } = await context.bus();
      await store.registerHandlers([handler('gone'), handler('stays')]);
      const retired_at = { agoMs: 0 };
      await context.rows.update('handlers', namespace, { retired_at }, { id: 'gone' });
      await appendMany(store, 1);
      expect((await relayOnce(store)).handlers.map(({ id }) => id)).toEqual(['stays']);
      expect(await deliveries(namespace)).toEqual([{ position: '1', handler: 'stays' }]);
    });

    it('keeps namespaces apart', async () => {
      const [one, other] = [await context.bus(), await context.bus()];
      await one.store.registerHandlers([handler('mails')]);
      await appendMany(one.store, 1);
      expect(await other.store.hasDue()).toBe(false);
      await appendMany(other.store, 1);
      expect(positionsOf((await relayOnce(other.store)).events)).toEqual([1]);
      expect(await deliveries(other.namespace)).toEqual([]);
      expect(await one.store.hasDue()).toBe(true);
    });
  });
}

/** Takes position 1 of a namespace in an open transaction: a relay must wait for its end. */
async function blockNextPosition(
  runner: { query(sql: string): Promise<unknown> },
  namespace: string,
): Promise<void> {
  await runner.query(
    `INSERT INTO events_log (namespace, position, event_id, name, version, category, data,
      occurred_at, relayed_at)
    VALUES ('${namespace}', 1, '${record().eventId}', 'blocks', 1, 'domain', '{}',
      CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)`,
  );
}
