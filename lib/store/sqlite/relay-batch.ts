import { chunkAt, chunkSize } from '../chunks.js';
import { toLoggedEvent, type EventRow } from '../event-row.js';
import type { RegisteredHandler, RelayedBatch, RelayLimits } from '../event-store.js';
import { handlersPerName } from '../fan-out.js';
import type { Tables } from '../tables.js';
import { addOwed } from './ledger.sql.js';
import * as relay from './relay.sql.js';
import { currentTime, type Session } from './sqlite.connection.js';

/** What a relay pass needs. */
interface Pass {
  readonly tables: Tables;
  readonly namespace: string;
  readonly handlers: readonly RegisteredHandler[];
  /** The last position given. */
  readonly last: number;
  readonly limits: RelayLimits;
}

/** Moves due events to the log and makes their deliveries. */
export function relayBatch(session: Session, pass: Pass): RelayedBatch {
  const { tables, namespace, handlers, last, limits } = pass;
  const rows = session.all<EventRow & { seq: number }>(
    relay.readDue(tables, namespace, limits.batchSize),
  );
  // One time for all of them: what shares a chunk is to stay together in the rescue's order.
  const times = { now: currentTime(session), rescueAfterMs: limits.rescueAfterMs };
  for (const [index, { seq, name }] of rows.entries()) {
    const position = last + index + 1;
    session.run(relay.copyToLog(tables, seq, position));
    session.run(relay.deleteFromOutbox(tables, seq));
    for (const handler of handlers.filter(({ events }) => events.includes(name))) {
      const chunk = chunkAt(position, last + 1, chunkSize(handler, rows.length));
      session.run(relay.makeDelivery(tables, namespace, position, handler, chunk, times));
    }
  }
  if (rows.length > 0) {
    session.run(addOwed(tables, namespace, rows, handlersPerName(handlers)));
    session.run(relay.savePosition(tables, namespace, last + rows.length));
  }
  return {
    events: rows.map((row, index) => ({ ...toLoggedEvent(row), position: last + index + 1 })),
    handlers,
    full: rows.length >= limits.batchSize,
  };
}
