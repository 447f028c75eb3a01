import { randomBytes } from 'node:crypto';
import { chunkAt, chunkSize } from '../chunks.js';
import type { RegisteredHandler, RelayedBatch, RelayLimits } from '../event-store.js';
import { handlersPerName } from '../fan-out.js';
import type { MemoryData } from './memory.data.js';
import { subscribed } from './memory.handlers.js';
import { dueRows } from './memory.outbox.js';
import { toLoggedEvent, type LogRow, type RelayRow } from './memory.rows.js';

/** Makes the namespace's row where there is none: positions go on after those in the log. */
export function ensureRelayRow(data: MemoryData): RelayRow {
  data.relay ??= {
    identity: randomBytes(6).toString('hex'),
    lastPosition: [...data.log.keys()].at(-1) ?? 0,
    queueGeneration: undefined,
    queueWipes: 0,
    queueWipedAt: null,
  };
  return data.relay;
}

/** Moves due events to the log and makes their deliveries. */
export function relay(data: MemoryData, limits: RelayLimits): RelayedBatch | 'busy' {
  if (data.relay === undefined) {
    ensureRelayRow(data);
    return 'busy';
  }
  const rows = dueRows(data, limits.batchSize);
  const handlers = subscribed(data);
  const relayedAt = data.now();
  const logged: LogRow[] = rows.map(({ seq, createdAt: _at, scheduledAt: _due, ...fields }) => {
    data.outbox.delete(seq);
    return { ...fields, relayedAt, position: ++ensureRelayRow(data).lastPosition };
  });
  const first = logged[0]?.position ?? 0;
  for (const row of logged) {
    data.log.set(row.position, row);
    deliver(data, row, handlers, { ...limits, first, count: logged.length });
  }
  const perName = handlersPerName(handlers);
  const owed = logged.map(({ name }) => perName.get(name) ?? 0);
  data.ledger.delivered += owed.reduce((sum, each) => sum + each, 0);
  data.ledger.unhandled += owed.filter((each) => each === 0).length;
  return { events: logged.map(toLoggedEvent), handlers, full: rows.length >= limits.batchSize };
}

/** One delivery per subscribed handler. */
function deliver(
  data: MemoryData,
  { position, name, relayedAt }: LogRow,
  handlers: readonly RegisteredHandler[],
  pass: RelayLimits & { readonly first: number; readonly count: number },
): void {
  const { rescueAfterMs, first, count } = pass;
  for (const handler of handlers.filter(({ events }) => events.includes(name))) {
    const { id, maxAttempts } = handler;
    data.addDelivery({
      position,
      handler: id,
      status: 'queued',
      epoch: 0,
      chunk: chunkAt(position, first, chunkSize(handler, count)),
      attempts: 0,
      maxAttempts,
      lastError: null,
      lastAttemptAt: null,
      queuedAt: relayedAt,
      retryAt: null,
      rescueAt: relayedAt + Math.round(rescueAfterMs),
      completedAt: null,
      deadAt: null,
      discardedAt: null,
      discardReason: null,
    });
  }
}
