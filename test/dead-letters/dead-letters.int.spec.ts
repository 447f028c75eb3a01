import {
  defineEvent,
  InvalidOptionsError,
  Operations,
  UnknownHandlerError,
  UnrecoverableEventError,
} from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QUEUE_KINDS, type QueueKind } from '../support/bull.js';
import { sql } from '../support/database.js';
import { readDeliveries, sorted, upTo } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { pushJob } from '../support/push-job.js';
import { insertDeliveries, insertLogged } from '../support/seed.js';
import { BULK_MS, countSignals, nextSignal, recordSignals } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestApp, type TestBackends } from '../support/test-app.js';
import { eventually } from '../support/wait.js';

const Placed = defineEvent<{ n: number }>('order.placed');
const Paid = defineEvent<{ n: number }>('order.paid');

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

interface Shop {
  readonly app: TestApp;
  readonly namespace: string;
  /** Set to false, handlers succeed. */
  broken: boolean;
  readonly handled: { handler: string; n: number; attempt: number; key: string }[];
}

/** Two handlers that fail, each in its way, until they are mended. */
async function startShop(kind: QueueKind = 'redis'): Promise<Shop> {
  const namespace = newNamespace();
  const handle =
    (handler: string, error: (n: number) => Error): Parameters<typeof onEvent>[2] =>
    ({ data, idempotencyKey: key }, { attempt }) => {
      if (shop.broken) throw error(data.n);
      shop.handled.push({ handler, n: data.n, attempt, key });
    };
  const app = await startApp({
    url: backends.database.url,
    events: {
      namespace,
      queue: backends[kind],
      rescue: { after: '1m', interval: '100ms' },
      defaults: { attempts: 2, backoff: 1 },
    },
    providers: [
      onEvent(
        [Placed, Paid],
        { id: 'mails' },
        handle('mails', (n) => new Error(`Mailbox ${n} is 100% full_`)),
      ),
      onEvent(
        Placed,
        { id: 'stock', aliases: ['inventory'] },
        handle('stock', () => new UnrecoverableEventError('no such article')),
      ),
    ],
  });
  const shop: Shop = { app, namespace, broken: true, handled: [] };
  return shop;
}

async function die(shop: Shop, events: readonly (readonly [typeof Placed, { n: number }])[]) {
  const deaths = events.length + events.filter(([event]) => event === Placed).length;
  const died = countSignals(shop.app.signals, 'delivery.dead', deaths);
  const emitted = await shop.app.dataSource.transaction(() => shop.app.bus.emitMany(events));
  await died;
  return emitted.map(({ eventId }) => eventId);
}

describe('DeadLetters.list', () => {
  it('filters by event, handler, error text and time', async () => {
    const shop = await startShop();
    const [first, second] = await die(shop, [
      [Placed, { n: 1 }],
      [Paid, { n: 2 }],
    ]);
    const found = async (filter: Parameters<typeof shop.app.deadLetters.list>[0]) => {
      const { items } = await shop.app.deadLetters.list(filter);
      return items.map(({ eventId, handler }) => `${eventId}/${handler}`).toSorted();
    };
    const [mail1, stock1, mail2] = [`${first}/mails`, `${first}/stock`, `${second}/mails`];
    expect(await found({})).toEqual([mail1, stock1, mail2].toSorted());
    expect(await found({ event: 'order.paid' })).toEqual([mail2]);
    expect(await found({ handler: 'stock' })).toEqual([stock1]);
    expect(await found({ eventId: first!, handler: 'mails' })).toEqual([mail1]);
    // The wildcards of LIKE are ordinary characters.
    expect(await found({ error: '100% FULL_' })).toEqual([mail1, mail2].toSorted());
    expect(await found({ error: '1_0%' })).toEqual([]);
    const { deadAt } = (await shop.app.deadLetters.list({ handler: 'stock' })).items[0]!;
    const later = new Date(deadAt.getTime() + 1);
    expect(await found({ handler: 'stock', deadFrom: deadAt, deadUntil: later })).toEqual([stock1]);
    expect(await found({ handler: 'stock', deadUntil: deadAt })).toEqual([]);
    expect(await found({ deadFrom: new Date(Date.now() + 60_000) })).toEqual([]);
  });

  it('pages by key: the last died first, none twice, none left out, also where all died at once', async () => {
    const shop = await startShop();
    await die(
      shop,
      upTo(7).map((n) => [Paid, { n }] as const),
    );
    await shop.app.dataSource.sql`
      UPDATE events_deliveries SET dead_at = ${() => sql.instant('2026-01-01T00:00:00.000001Z')}
      WHERE namespace = ${shop.namespace} AND position <= 5`;
    const seen: number[] = [];
    let after: string | undefined;
    let pages = 0;
    do {
      const page = await shop.app.deadLetters.list({}, { limit: 2, ...(after && { after }) });
      seen.push(...page.items.map(({ position }) => position));
      after = page.next;
      pages++;
    } while (after !== undefined);
    expect(pages).toBe(4);
    expect(sorted(seen.slice(0, 2))).toEqual([6, 7]);
    expect(seen.slice(2)).toEqual([5, 4, 3, 2, 1]);
  });
});

it('get tells the event, and every attempt that failed', async () => {
  const shop = await startShop();
  const [eventId] = await die(shop, [[Paid, { n: 5 }]]);
  expect(await shop.app.deadLetters.get(eventId!, 'mails')).toMatchObject({
    event: 'order.paid',
    data: { n: 5 },
    attempts: 2,
    maxAttempts: 2,
    redrives: 0,
    lastError: expect.stringContaining('Mailbox 5') as string,
    history: [
      { attempt: 1, redrives: 0, error: expect.stringContaining('Mailbox 5') as string },
      { attempt: 2, redrives: 0 },
    ],
  });
  expect(await shop.app.deadLetters.get(eventId!, 'stock')).toBeUndefined();
  expect(await shop.app.deadLetters.get('no-uuid', 'mails')).toBeUndefined();
  expect(await shop.app.deadLetters.get(eventId!, '\0')).toBeUndefined();
});

describe.each(QUEUE_KINDS)('DeadLetters.redrive, on BullMQ with %s', (kind) => {
  it('queues one again, at once, with all its attempts and the same idempotency key', async () => {
    const shop = await startShop(kind);
    const [eventId] = await die(shop, [[Placed, { n: 1 }]]);
    const before = await shop.app.deadLetters.get(eventId!, 'mails');
    shop.broken = false;
    const completed = nextSignal(shop.app.signals, 'delivery.completed');
    const operation = await shop.app.deadLetters.redrive({ eventId: eventId!, handler: 'mails' });
    expect(operation).toMatchObject({ kind: 'redrive', affected: 1 });
    await completed;
    expect(shop.handled).toEqual([
      { handler: 'mails', n: 1, attempt: 3, key: before!.idempotencyKey },
    ]);
    expect(await readDeliveries(shop.app.dataSource, shop.namespace)).toMatchObject([
      { handler: 'mails', status: 'completed', epoch: 1, attempts: 3, max_attempts: 4 },
      { handler: 'stock', status: 'dead', epoch: 0 },
    ]);
  });

  it('one that dies again has the history of all its attempts, and can be redriven again', async () => {
    const shop = await startShop(kind);
    const [eventId] = await die(shop, [[Paid, { n: 1 }]]);
    for (const round of upTo(2)) {
      const again = nextSignal(shop.app.signals, 'delivery.dead');
      await shop.app.deadLetters.redrive({ handler: 'mails' });
      expect(await again).toMatchObject({ attempt: 2 + 2 * round, maxAttempts: 2 + 2 * round });
    }
    const letter = await shop.app.deadLetters.get(eventId!, 'mails');
    expect(letter!.history.map(({ attempt, redrives }) => [attempt, redrives])).toEqual([
      [1, 0],
      [2, 0],
      [3, 1],
      [4, 1],
      [5, 2],
      [6, 2],
    ]);
  });
});

describe('DeadLetters.redrive', () => {
  it(
    'takes all that match, in batches, and tells how far it is',
    async () => {
      const shop = await startShop();
      const dead = 1_203;
      await insertDead(shop, dead, 'mails');
      await insertDead(shop, 2, 'stock', dead);
      shop.broken = false;
      const progress = recordSignals(shop.app.signals, 'operation.progressed');
      const done = countSignals(shop.app.signals, 'delivery.completed', dead, () => true, BULK_MS);
      const operation = await shop.app.deadLetters.redrive(
        { handler: 'mails', error: 'broken' },
        { by: 'ann', reason: 'mail server is back' },
      );
      expect(operation).toMatchObject({ affected: dead, by: 'ann', reason: 'mail server is back' });
      expect(progress.map(({ affected }) => affected)).toEqual([500, 1_000, dead]);
      await done;
      const { items } = await shop.app.deadLetters.list();
      expect(items.map(({ handler }) => handler)).toEqual(['stock', 'stock']);
      expect((await shop.app.health.check()).ledger).toMatchObject({ dead: 2, completed: dead });
    },
    BULK_MS,
  );

  it(
    'ends although what it redrives dies again at once',
    async () => {
      const shop = await startShop();
      await insertDead(shop, 700, 'stock');
      const died = countSignals(shop.app.signals, 'delivery.dead', 700, () => true, BULK_MS);
      expect(await shop.app.deadLetters.redrive({ all: true })).toMatchObject({ affected: 700 });
      await died;
      const rows = await readDeliveries(shop.app.dataSource, shop.namespace);
      expect(new Set(rows.map(({ status, epoch }) => `${status} ${epoch}`))).toEqual(
        new Set(['dead 1']),
      );
    },
    BULK_MS,
  );

  it('reaches dead letters of a former id of a handler', async () => {
    const shop = await startShop();
    await insertDead(shop, 1, 'inventory');
    shop.broken = false;
    const completed = nextSignal(shop.app.signals, 'delivery.completed');
    expect(await shop.app.deadLetters.redrive({ handler: 'inventory' })).toMatchObject({
      affected: 1,
    });
    await completed;
    expect(shop.handled).toMatchObject([{ handler: 'stock', attempt: 2 }]);
  });

  it('leaves those of a handler that nobody has, and says so where it is named', async () => {
    const shop = await startShop();
    await insertDead(shop, 1, 'vanished');
    await expect(shop.app.deadLetters.redrive({ handler: 'vanished' })).rejects.toThrow(
      UnknownHandlerError,
    );
    expect(await shop.app.deadLetters.redrive({ all: true })).toMatchObject({ affected: 0 });
    expect(await readDeliveries(shop.app.dataSource, shop.namespace)).toMatchObject([
      { status: 'dead', epoch: 0 },
    ]);
  });

  it(
    'two at once redrive each dead letter once',
    async () => {
      const shop = await startShop();
      await insertDead(shop, 900, 'mails');
      shop.broken = false;
      const operations = await Promise.all(
        upTo(3).map(() => shop.app.deadLetters.redrive({ all: true })),
      );
      expect(operations.reduce((sum, { affected }) => sum + affected, 0)).toBe(900);
      const rows = await readDeliveries(shop.app.dataSource, shop.namespace);
      expect(rows.every(({ epoch }) => epoch === 1)).toBe(true);
      await eventually(() => shop.handled.length === 900, {
        what: 'all are handled',
        timeout: BULK_MS,
      });
    },
    BULK_MS,
  );

  it('D1: a worker that still runs the dead epoch changes nothing', async () => {
    const shop = await startShop();
    await die(shop, [[Paid, { n: 1 }]]);
    await shop.app.dataSource.sql`
      UPDATE events_deliveries SET epoch = epoch + 1, status = 'queued', max_attempts = 9
      WHERE namespace = ${shop.namespace}`;
    shop.broken = false;
    const skipped = nextSignal(shop.app.signals, 'delivery.skipped');
    await pushJob(backends, 'redis', shop.namespace, { position: 1, handler: 'mails', epoch: 0 });
    expect((await skipped).reason).toBe('it is queued in epoch 1, not 0');
    expect(shop.handled).toEqual([]);
  });
});

describe('DeadLetters.discard', () => {
  it('gives them up with a reason, and the ledger still adds up', async () => {
    const shop = await startShop();
    const [eventId] = await die(shop, [[Placed, { n: 1 }]]);
    const operation = await shop.app.deadLetters.discard(
      { handler: 'stock' },
      { reason: 'article is gone', by: 'bob' },
    );
    expect(operation).toMatchObject({ kind: 'discard', affected: 1, reason: 'article is gone' });
    const history = await shop.app.log.get(eventId!);
    expect(history!.deliveries).toMatchObject([
      { handler: 'mails', status: 'dead', discardedAt: undefined },
      {
        handler: 'stock',
        status: 'discarded',
        discardReason: 'article is gone',
        discardedAt: expect.any(Date) as Date,
        lastError: expect.stringContaining('no such article') as string,
      },
    ]);
    expect((await shop.app.health.check()).ledger).toStrictEqual({
      delivered: 2,
      unhandled: 0,
      completed: 0,
      discarded: 1,
      dead: 1,
      queued: 0,
      difference: 0,
    });
    // For good.
    expect(await shop.app.deadLetters.redrive({ all: true })).toMatchObject({ affected: 1 });
    expect((await shop.app.log.get(eventId!))!.deliveries[1]).toMatchObject({
      status: 'discarded',
    });
  });
});

it('one whose event was deleted from the log is told as such, and can only be discarded', async () => {
  const shop = await startShop();
  const [kept] = await die(shop, [
    [Paid, { n: 1 }],
    [Paid, { n: 2 }],
  ]);
  await shop.app.dataSource.sql`
    DELETE FROM events_log WHERE namespace = ${shop.namespace} AND event_id <> ${kept}`;
  const { deadLetters } = shop.app;
  const { items } = await deadLetters.list();
  const lost = items.find(({ eventId }) => eventId === undefined)!;
  expect(items).toHaveLength(2);
  expect(lost).toMatchObject({ event: undefined, occurredAt: undefined, attempts: 2 });
  expect(await deadLetters.get(lost.position, 'mails')).toMatchObject({
    data: undefined,
    idempotencyKey: undefined,
    history: [{ attempt: 1 }, { attempt: 2 }],
  });
  shop.broken = false;
  expect(await deadLetters.redrive({ all: true })).toMatchObject({ affected: 1, left: 1 });
  expect(
    await deadLetters.discard({ position: lost.position }, { reason: 'its event is gone' }),
  ).toMatchObject({ affected: 1, left: 0 });
  expect((await deadLetters.list()).items).toEqual([]);
  await expect(deadLetters.list({ position: 0.5 })).rejects.toThrow('"deadLetters.position"');
});

it('what a URL or untyped code hands over is refused, or made good', async () => {
  const shop = await startShop();
  await insertDead(shop, 2, 'mails');
  const { deadLetters } = shop.app;
  for (const options of [undefined, {}, { reason: '' }, { reason: ' ' }, { reason: 7 }]) {
    await expect(deadLetters.discard({ all: true }, options as never)).rejects.toThrow(
      '"discard.reason" must say why',
    );
  }
  await expect(deadLetters.discard({ all: true }, { raeson: 'x' } as never)).rejects.toThrow(
    '"discard.raeson" is unknown (its value is "x"); did you mean "reason"?',
  );
  await expect(deadLetters.redrive({ all: true }, { who: 'ann' } as never)).rejects.toThrow(
    '"redrive.who" is unknown (its value is "ann"); known are: by, reason.',
  );
  await expect(deadLetters.list({}, { lmit: 5 } as never)).rejects.toThrow('did you mean "limit"?');
  await expect(deadLetters.redrive(undefined as never)).rejects.toThrow(
    '"deadLetters.all" must be',
  );
  const typo = { event: 'order.placed', handler: undefined };
  await expect(deadLetters.redrive(typo)).rejects.toThrow('"deadLetters.handler" is undefined');
  await expect(deadLetters.discard(typo, { reason: 'x' })).rejects.toThrow(InvalidOptionsError);
  expect((await deadLetters.list(typo, { limit: Number.NaN })).items).toHaveLength(2);
  const operations = shop.app.context.get(Operations);
  expect(await operations.latest({ limit: Number.NaN })).toEqual([]);
});

it('every action is in the book of operations, the newest first', async () => {
  const shop = await startShop();
  await insertDead(shop, 3, 'mails');
  const { deadLetters } = shop.app;
  await deadLetters.discard({ error: 'nothing has this' }, { reason: 'a try' });
  await deadLetters.redrive({ handler: 'mails' }, { by: 'ann' });
  await expect(deadLetters.redrive({})).rejects.toThrow('"deadLetters.all"');
  await expect(deadLetters.redrive({ all: true }, { by: 'x'.repeat(501) })).rejects.toThrow('"by"');
  const book = await shop.app.context.get(Operations).latest();
  expect(book).toMatchObject([
    { kind: 'redrive', target: { handler: 'mails' }, by: 'ann', reason: undefined, affected: 3 },
    {
      kind: 'discard',
      target: { error: 'nothing has this' },
      by: undefined,
      reason: 'a try',
      affected: 0,
      endedAt: expect.any(Date) as Date,
    },
  ]);
  expect(await shop.app.context.get(Operations).latest({ limit: 1 })).toHaveLength(1);
});

it('an action that fails midway is in the book with what it did', async () => {
  const shop = await startShop();
  await insertDead(shop, 600, 'mails');
  const refused = {
    name: `refuse_${shop.namespace}`,
    before: 'UPDATE',
    table: 'events_deliveries',
    when: `NEW.namespace = '${shop.namespace}' AND NEW.position = 600`,
  } as const;
  await sql.refuse(shop.app.dataSource, refused, 'not this one');
  await expect(shop.app.deadLetters.discard({ all: true }, { reason: 'old' })).rejects.toThrow(
    'not this one',
  );
  const [operation] = await shop.app.context.get(Operations).latest();
  expect(operation).toMatchObject({ kind: 'discard', affected: 500, endedAt: undefined });
  const rows = await readDeliveries(shop.app.dataSource, shop.namespace);
  expect(rows.filter(({ status }) => status === 'discarded')).toHaveLength(500);
});

it('a completed delivery is no dead letter', async () => {
  const shop = await startShop();
  shop.broken = false;
  const completed = nextSignal(shop.app.signals, 'delivery.completed');
  const { eventId } = await emitIn(shop.app, Paid, { n: 1 });
  await completed;
  expect((await shop.app.deadLetters.list()).items).toEqual([]);
  expect(await shop.app.deadLetters.get(eventId, 'mails')).toBeUndefined();
  expect(await shop.app.deadLetters.redrive({ all: true })).toMatchObject({ affected: 0 });
});

/** As if they had died long ago: the way there is tested elsewhere. */
async function insertDead(
  { app, namespace }: Shop,
  count: number,
  handler: string,
  from = 0,
): Promise<void> {
  await app.dataSource.transaction(async (manager) => {
    const data = '{"n":0}';
    await insertLogged(manager, namespace, { count, from, name: 'order.placed', data });
    await manager.sql`
      INSERT INTO events_ledger (namespace, delivered) VALUES (${namespace}, ${count})`;
    const dead = {
      status: `'dead'`,
      attempts: '1',
      max_attempts: '1',
      last_error: `'broken'`,
      rescue_at: 'NULL',
      dead_at: sql.after(-3_600_000),
    };
    await insertDeliveries(manager, namespace, { count, from, handler }, dead);
  });
}
