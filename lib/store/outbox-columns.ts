import type { OutboxRecord } from './event-store.js';

export type OutboxColumn = readonly [name: string, value: (record: OutboxRecord) => unknown];

/** Columns of the outbox that take a record's value as it is. */
export const PLAIN_COLUMNS: readonly OutboxColumn[] = [
  ['event_id', (record) => record.eventId],
  ['name', (record) => record.name],
  ['version', (record) => record.version],
  ['category', (record) => record.category],
  ['data', (record) => record.data],
  ['metadata', (record) => record.metadata],
  ['headers', (record) => record.headers],
  ['key', (record) => record.key],
  ['entity_type', (record) => record.entityType],
  ['entity_id', (record) => record.entityId],
  ['entity_version', (record) => record.entityVersion],
  ['actor_type', (record) => record.actorType],
  ['actor_id', (record) => record.actorId],
  ['causation_id', (record) => record.causationId],
  ['correlation_id', (record) => record.correlationId],
];
