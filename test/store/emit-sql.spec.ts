import { describe, expect, it } from 'vitest';
import { appendRecords, type KeyClaim } from '../../lib/store/append-records.js';
import type { OutboxRecord } from '../../lib/store/event-store.js';
import { insertIntoOutbox, MAX_ROWS } from '../../lib/store/postgres/emit.sql.js';
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

describe('insertIntoOutbox', () => {
  it('uses every parameter, and no text of the events in the SQL', () => {
    const { text, values } = insertIntoOutbox(tables, 'shop', [record('id-1'), record('id-2')]);
    const used = [...text.matchAll(/\$(\d+)/g)].map(([, number]) => Number(number));
    expect(new Set(used)).toEqual(new Set(values.map((_value, index) => index + 1)));
    expect(values[0]).toBe('shop');
    expect(values.filter((value) => String(value).startsWith('id-'))).toEqual(['id-1', 'id-2']);
    expect(text).not.toContain('id-1');
    expect(text).toContain('INSERT INTO "events_outbox" (namespace, event_id,');
  });

  it('stays within PostgreSQL’s 65,535 parameters with the most rows, not with more', () => {
    const records = Array.from({ length: MAX_ROWS + 1 }, (_, index) => record(`${index}`));
    expect(insertIntoOutbox(tables, 'a', records.slice(1)).values.length).toBeLessThanOrEqual(
      65_535,
    );
    expect(insertIntoOutbox(tables, 'a', records).values.length).toBeGreaterThan(65_535);
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
