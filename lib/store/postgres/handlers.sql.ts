import type { RegisteredHandler } from '../event-store.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';

/** A scalar subquery with all handlers that are not retired, as JSON text. Needs `$1 = namespace`. */
export function selectHandlersAsJson(tables: Tables): string {
  return `(SELECT coalesce(json_agg(json_build_object('id', id, 'events', events, 'queue', queue,
      'options', options) ORDER BY id), '[]')::text
    FROM ${tables.handlers} WHERE namespace = $1 AND retired_at IS NULL)`;
}

export function readHandlers(tables: Tables, namespace: string): Statement {
  return { text: `SELECT ${selectHandlersAsJson(tables)} AS handlers`, values: [namespace] };
}

interface StoredHandler {
  readonly id: string;
  readonly events: readonly string[];
  readonly queue: string;
  readonly options: Omit<RegisteredHandler, 'id' | 'events' | 'queue'>;
}

export function parseHandlers(json: string): RegisteredHandler[] {
  return (JSON.parse(json) as StoredHandler[]).map(({ options, ...handler }) => ({
    ...options,
    ...handler,
  }));
}

/** Adds new handlers, updates known ones and brings retired ones back. */
export function upsertHandlers(
  tables: Tables,
  namespace: string,
  handlers: readonly RegisteredHandler[],
): Statement {
  // Sorted: processes that boot at once must not deadlock.
  const sorted = handlers.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  return {
    text: `INSERT INTO ${tables.handlers} (namespace, id, events, queue, options, first_seen_at, last_seen_at)
      SELECT $1, id, events, queue, options, clock_timestamp(), clock_timestamp()
      FROM unnest($2::text[], $3::jsonb[], $4::text[], $5::jsonb[]) AS handler(id, events, queue, options)
      ON CONFLICT (namespace, id) DO UPDATE SET events = excluded.events, queue = excluded.queue,
        options = excluded.options, last_seen_at = excluded.last_seen_at, retired_at = NULL`,
    values: [
      namespace,
      sorted.map(({ id }) => id),
      sorted.map(({ events }) => JSON.stringify(events)),
      sorted.map(({ queue }) => queue),
      sorted.map(({ id: _id, events: _events, queue: _queue, ...options }) =>
        JSON.stringify(options),
      ),
    ],
  };
}

/** Former ids of a handler get no new deliveries. */
export function retireHandlers(
  tables: Tables,
  namespace: string,
  ids: readonly string[],
): Statement {
  return {
    text: `UPDATE ${tables.handlers} SET retired_at = clock_timestamp()
      WHERE namespace = $1 AND id = ANY($2::text[]) AND retired_at IS NULL`,
    values: [namespace, ids],
  };
}

export function touchHandlers(
  tables: Tables,
  namespace: string,
  ids: readonly string[],
): Statement {
  return {
    text: `UPDATE ${tables.handlers} SET last_seen_at = clock_timestamp()
      WHERE namespace = $1 AND id = ANY($2::text[])`,
    values: [namespace, ids],
  };
}
