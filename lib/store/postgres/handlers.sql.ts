import type { RegisteredHandler } from '../event-store.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';

/**
 * A scalar subquery with the handlers that get deliveries, as JSON text: not retired, and no alias
 * of another one (an old process that is still deployed beside a new one registers the old id again
 * and again). Needs `$1 = namespace`.
 */
export function selectHandlersAsJson(tables: Tables): string {
  return `(SELECT coalesce(json_agg(json_build_object('id', h.id, 'events', h.events,
      'queue', h.queue, 'options', h.options) ORDER BY h.id), '[]')::text
    FROM ${tables.handlers} AS h
    WHERE h.namespace = $1 AND h.retired_at IS NULL AND NOT EXISTS (
      SELECT FROM ${tables.handlers} AS renamed
      WHERE renamed.namespace = $1 AND renamed.retired_at IS NULL AND renamed.id <> h.id
        AND renamed.options->'aliases' @> to_jsonb(h.id)))`;
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
  return insertHandlers(
    tables,
    namespace,
    handlers,
    `events = excluded.events, queue = excluded.queue, options = excluded.options,
      last_seen_at = excluded.last_seen_at, retired_at = NULL`,
  );
}

/** Says that handlers are still there; adds those that somebody deleted, and changes nothing else. */
export function renewHandlers(
  tables: Tables,
  namespace: string,
  handlers: readonly RegisteredHandler[],
): Statement {
  return insertHandlers(tables, namespace, handlers, 'last_seen_at = excluded.last_seen_at');
}

function insertHandlers(
  tables: Tables,
  namespace: string,
  handlers: readonly RegisteredHandler[],
  update: string,
): Statement {
  // Sorted: processes that boot at once must not deadlock.
  const sorted = handlers.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  return {
    text: `INSERT INTO ${tables.handlers} (namespace, id, events, queue, options, first_seen_at, last_seen_at)
      SELECT $1, id, events, queue, options, clock_timestamp(), clock_timestamp()
      FROM unnest($2::text[], $3::jsonb[], $4::text[], $5::jsonb[]) AS handler(id, events, queue, options)
      ON CONFLICT (namespace, id) DO UPDATE SET ${update}`,
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
