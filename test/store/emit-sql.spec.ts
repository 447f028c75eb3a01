import { describe, expect, it } from 'vitest';
import { appendRecords, type KeyClaim } from '../../lib/store/append-records.js';
import type { OutboxRecord } from '../../lib/store/event-store.js';
import { insertIntoOutbox, splitRecords } from '../../lib/store/postgres/emit.sql.js';
import { tableNames } from '../../lib/store/tables.js';

const tables = tableNames({ prefix: 'events_', schema: undefined }, (name) => `"${name}"`);

const record = (eventId: string): OutboxRecord => ({
  eventId,
  name: 'order.placed',
  version: 1,
  category: 'domain',
  data: '{}',
  metadata: null,
  headers: null,
  key: null,
  entityType: null,
  entityId: null,
  entityVersion: null,
  actorType: null,
  actorId: null,
  causationId: null,
  correlationId: null,
  occurredAt: null,
  delayMs: null,
  idempotencyKey: null,
});

/** Numbers of the parameters that a statement names. */
const usedIn = (text: string) => new Set([...text.matchAll(/\$(\d+)/g)].map(([, n]) => Number(n)));

describe('insertIntoOutbox', () => {
  it.each([
    ['one event', ['id-1']],
    ['several', ['id-1', 'id-2']],
  ])('uses every parameter, and no text of the events in the SQL: %s', (_name, ids) => {
    const { text, values } = insertIntoOutbox(tables, 'shop', ids.map(record));
    expect(usedIn(text)).toEqual(new Set(values.map((_value, index) => index + 1)));
    expect(values[0]).toBe('shop');
    for (const id of ids) {
      expect(values.filter((value) => String(value).includes(id))).toHaveLength(1);
      expect(text).not.toContain(id);
    }
    expect(text).toContain('INSERT INTO "events_outbox" (namespace, event_id,');
  });

  it('leaves out what no event has, and sends once what all have alike', () => {
    const { text, values } = insertIntoOutbox(tables, 'shop', [
      { ...record('id-1'), data: '{"n":1}', key: 'of one' },
      { ...record('id-2'), data: '{"n":2}' },
    ]);
    expect(text).not.toMatch(/metadata|actor_id|scheduled_at/);
    expect(values).toEqual([
      'shop',
      'order.placed',
      1,
      'domain',
      '[["id-1",{"n":1},"of one"],["id-2",{"n":2},null]]',
    ]);
  });
});

describe('splitRecords', () => {
  it('keeps the order, and bounds the events and the characters of one statement', () => {
    const many = Array.from({ length: 1_001 }, (_, index) => record(`${index}`));
    expect(splitRecords(many)).toEqual([many.slice(0, -1), many.slice(-1)]);
    const half = { ...record('large'), data: JSON.stringify('x'.repeat(5 * 1024 * 1024)) };
    const parts = splitRecords([record('a'), half, half, record('b')]);
    expect(parts.map((part) => part.length)).toEqual([2, 2]);
    expect(splitRecords([])).toEqual([]);
  });
});

describe('appendRecords', () => {
  it('claims keys in their order, each for the first event that has it', async () => {
    const keyed = (eventId: string, idempotencyKey: string) => ({
      ...record(eventId),
      idempotencyKey,
    });
    const claimed: KeyClaim[] = [];
    const inserted: string[] = [];
    const results = await appendRecords(
      [keyed('2', 'b'), record('0'), keyed('3', 'c'), keyed('1', 'a'), keyed('4', 'b')],
      {
        claim: async (claims) => {
          claimed.push(...claims);
          return new Map([
            ['a', '1'],
            ['b', '2'],
            ['c', 'of another call'],
          ]);
        },
        insert: async (records) => {
          inserted.push(...records.map(({ eventId }) => eventId));
        },
      },
    );
    expect(claimed).toEqual([
      { key: 'a', eventId: '1' },
      { key: 'b', eventId: '2' },
      { key: 'c', eventId: '3' },
    ]);
    expect(inserted).toEqual(['2', '0', '1']);
    expect(results).toEqual([
      { eventId: '2', duplicate: false },
      { eventId: '0', duplicate: false },
      { eventId: 'of another call', duplicate: true },
      { eventId: '1', duplicate: false },
      { eventId: '2', duplicate: true },
    ]);
  });
});
