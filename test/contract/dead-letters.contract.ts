import { describe, expect, it } from 'vitest';
import type { BatchRange, ChangedBatch } from '../../lib/store/dead-letter-store.js';
import { handler, withDeliveries, type Bus, type ContractContext } from './contract-context.js';
import { OPERATION } from './operations.contract.js';

type Batch = (range: BatchRange) => Promise<ChangedBatch>;

export function describeDeadLetters(context: ContractContext): void {
  /** A bus whose deliveries are all dead; by default they died at the same moment. */
  const withDead = async (count: number, handlers = ['mails'], apart = false) => {
    const bus = await withDeliveries(context, { count, handlers });
    const attempts = bus.events.flatMap(({ position }) =>
      handlers.map((id) => ({
        position,
        handler: id,
        epoch: 0,
        attempt: 1,
        error: `n${position}`,
      })),
    );
    await bus.store.fail(
      attempts.map((each) => ({ ...each, dead: true, retryInMs: 0 })),
      60_000,
    );
    for (const { position } of bus.events) {
      const dead_at = apart ? { agoMs: 10_000 - position } : { at: '2026-01-01T00:00:00.000001Z' };
      await context.rows.update('deliveries', bus.namespace, { dead_at }, { position });
    }
    return bus;
  };
  const all = async (batch: Batch, limit: number) => {
    const affected: number[] = [];
    let from: string | undefined;
    do {
      const changed = await batch({ limit, from });
      affected.push(changed.affected);
      from = changed.next;
    } while (from !== undefined);
    return affected;
  };
  const statuses = ({ namespace }: Bus) =>
    context.rows.select('deliveries', namespace, ['status', 'epoch', 'max_attempts']);

  describe('dead letters', () => {
    it('are listed by key, the last died first, also where all died at once', async () => {
      const { stores } = await withDead(3, ['a', 'b']);
      const first = await stores.deadLetters.list({}, 4);
      const rest = await stores.deadLetters.list({}, 4, first.at(-1));
      expect([...first, ...rest].map((row) => `${row.position}${row.handler}`)).toEqual([
        '3b',
        '3a',
        '2b',
        '2a',
        '1b',
        '1a',
      ]);
      const fraction = context.harness.keepsMicroseconds ? '000001' : '000';
      const deadAt = `2026-01-01T00:00:00.${fraction}Z`;
      expect(first[0]).toMatchObject({ deadAt, lastError: 'n3' });
      expect(await stores.deadLetters.attempts(3, 'b')).toMatchObject([
        { attempt: 1, error: 'n3' },
      ]);
    });

    it.each([true, false])(
      'are redriven in batches, each where one ended (apart: %s)',
      async (apart) => {
        const bus = await withDead(5, ['mails'], apart);
        const { deadLetters, operations } = bus.stores;
        const id = await operations.start(OPERATION);
        expect(await all((range) => deadLetters.redrive(id, {}, range), 2)).toEqual([2, 2, 1]);
        expect(new Set((await statuses(bus)).map((row) => Object.values(row).join()))).toEqual(
          new Set(['queued,1,6']),
        );
        expect((await operations.end(id)).affected).toBe(5);
      },
    );

    it('are discarded in batches, none before where the last one ended, and the ledger knows', async () => {
      const bus = await withDead(5, ['mails'], true);
      const { deadLetters, operations, health } = bus.stores;
      const id = await operations.start(OPERATION);
      const { next } = await deadLetters.discard(id, {}, 'old', { limit: 2 });
      const dead = { status: 'dead' };
      await context.rows.update('deliveries', bus.namespace, dead, { position: 1 });
      expect(
        await all(
          (range) => deadLetters.discard(id, {}, 'old', { ...range, from: range.from ?? next }),
          2,
        ),
      ).toEqual([2, 1]);
      expect((await statuses(bus)).map(({ status }) => status)).toEqual([
        'dead',
        ...Array.from({ length: 4 }, () => 'discarded'),
      ]);
      expect(await health.figures(100)).toMatchObject({ delivered: 5, discarded: 5, dead: 1 });
    });

    it('B3: of a handler that is retired between two batches stay dead', async () => {
      const bus = await withDead(4);
      await bus.store.registerHandlers([handler('other', { aliases: ['another'] })]);
      const { deadLetters, operations } = bus.stores;
      const id = await operations.start(OPERATION);
      const { affected, next } = await deadLetters.redrive(id, {}, { limit: 2 });
      await bus.store.retireHandler('mails');
      const range = { limit: 2, from: next };
      expect(await deadLetters.redrive(id, {}, range)).toMatchObject({ affected: 0 });
      // As soon as somebody has the former id, they have a handler again.
      await bus.store.registerHandlers([handler('new', { aliases: ['mails'], maxAttempts: 9 })]);
      expect(await deadLetters.redrive(id, {}, range)).toMatchObject({ affected: 2 });
      expect(affected).toBe(2);
      expect((await statuses(bus)).map((row) => row.max_attempts)).toEqual(['6', '6', '10', '10']);
    });

    context.needing('connections')(
      'a batch waits for a handler that is being retired, and leaves its dead letters',
      async () => {
        const bus = await withDead(1);
        const { operations } = bus.stores;
        const id = await operations.start(OPERATION);
        const dataSource = await context.connect({ poolSize: 1 });
        const session = await context.sessionOf(dataSource);
        const peer = context.database.stores(bus.namespace, dataSource);
        await context.withRunner(async (runner) => {
          await runner.query(
            `UPDATE events_handlers SET retired_at = last_seen_at WHERE namespace = '${bus.namespace}'`,
          );
          const batch = peer.deadLetters.redrive(id, {}, { limit: 2 });
          await context.untilWaiting(session);
          await runner.commitTransaction();
          expect(await batch).toEqual({ affected: 0, next: undefined });
        });
      },
    );

    it('whose event was deleted from the log are listed and discarded, but not redriven', async () => {
      const { stores, store, namespace } = await withDead(3, ['mails'], true);
      const { deadLetters, operations, health } = stores;
      await context.rows.remove('log', namespace, { position: [1, 2] });
      const listed = await deadLetters.list({}, 10);
      expect(listed.map(({ position, event }) => [position, event?.name])).toEqual([
        [3, 'order.placed'],
        [2, undefined],
        [1, undefined],
      ]);
      expect(listed[1]).toMatchObject({ event: null, handler: 'mails', lastError: 'n2' });
      expect(await deadLetters.list({ position: 1 }, 10)).toEqual([listed[2]]);
      expect(await deadLetters.list({ event: 'order.placed' }, 10)).toEqual([listed[0]]);
      const id = await operations.start(OPERATION);
      expect(await deadLetters.redrive(id, {}, { limit: 10 })).toMatchObject({ affected: 1 });
      expect(await deadLetters.countLost({})).toBe(2);
      expect(await deadLetters.countLost({ error: 'n2' })).toBe(1);
      await deadLetters.discard(id, { position: 1 }, 'gone', { limit: 10 });
      const left = { dead: 1, discarded: 1, queued: 1, delivered: 3 };
      expect(await health.figures(100)).toMatchObject(left);
      expect(await store.readEvents([1])).toEqual([]);
    });

    it('two operations at once change each once, also where all died at once', async () => {
      const bus = await withDead(60, ['a', 'b', 'c']);
      const { deadLetters, operations } = bus.stores;
      const run = async (batch: (id: number) => Batch) => {
        const id = await operations.start(OPERATION);
        return (await all(batch(id), 20)).reduce((sum, affected) => sum + affected, 0);
      };
      const affected = await Promise.all([
        run((id) => (range) => deadLetters.redrive(id, {}, range)),
        run((id) => (range) => deadLetters.discard(id, {}, 'old', range)),
        run((id) => (range) => deadLetters.redrive(id, {}, range)),
      ]);
      expect(affected.reduce((sum, each) => sum + each, 0)).toBe(180);
    });
  });
}
