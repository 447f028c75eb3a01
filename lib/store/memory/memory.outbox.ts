import { keyClaims, settleKeys } from '../append-records.js';
import type { AppendedEvent, OutboxRecord } from '../event-store.js';
import type { MemoryData } from './memory.data.js';
import { iso, type OutboxRow } from './memory.rows.js';

/** Writes records whose idempotency key nobody else has, in their order. */
export function append(data: MemoryData, records: readonly OutboxRecord[]): AppendedEvent[] {
  for (const { key, eventId } of keyClaims(records)) {
    if (!data.keys.has(key)) data.keys.set(key, eventId);
  }
  const { fresh, appended } = settleKeys(records, data.keys);
  const now = data.now();
  for (const record of fresh) {
    const row = toRow(record, data.nextSeq(), now);
    data.outbox.set(row.seq, row);
  }
  return appended;
}

function toRow(record: OutboxRecord, seq: number, now: number): OutboxRow {
  const { occurredAt, delayMs, idempotencyKey: _key, ...fields } = record;
  return {
    ...fields,
    seq,
    occurredAt: occurredAt ?? iso(now),
    createdAt: now,
    scheduledAt: delayMs === null ? null : now + Math.round(delayMs),
  };
}

export function hasDue(data: MemoryData): boolean {
  const now = data.now();
  return [...data.outbox.values()].some((row) => isDue(row, now));
}

export function isDue({ scheduledAt }: OutboxRow, now: number): boolean {
  return scheduledAt === null || scheduledAt <= now;
}

/** Due events in the order of their emits; of those with and those without a delay a batch each. */
export function dueRows(data: MemoryData, batchSize: number): OutboxRow[] {
  const now = data.now();
  const due = [...data.outbox.values()].filter((row) => isDue(row, now));
  const plain = due.filter(({ scheduledAt }) => scheduledAt === null);
  const delayed = due
    .filter(({ scheduledAt }) => scheduledAt !== null)
    .toSorted((a, b) => Number(a.scheduledAt) - Number(b.scheduledAt));
  const batch = [...plain.slice(0, batchSize), ...delayed.slice(0, batchSize)];
  return batch.toSorted((a, b) => a.seq - b.seq);
}
