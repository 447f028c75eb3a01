import type { QueryRunner } from 'typeorm';
import { chunkSize } from '../chunks.js';
import { toLoggedEvent, type EventRow } from '../event-row.js';
import type { RegisteredHandler, RelayedBatch, RelayLimits } from '../event-store.js';
import { handlersPerName } from '../fan-out.js';
import type { Tables } from '../tables.js';
import { addOwed } from './ledger.sql.js';
import { execute } from './mysql.connection.js';
import * as relay from './relay.sql.js';

/** What a relay pass needs, once it has the namespace's row. */
interface Pass {
  readonly tables: Tables;
  readonly namespace: string;
  readonly handlers: readonly RegisteredHandler[];
  /** The last position given. */
  readonly last: number;
  readonly limits: RelayLimits;
}

/**
 * Moves due events to the log and makes their deliveries. It must come after the lock: under READ
 * COMMITTED its statements then see everything the previous relay committed.
 */
export async function relayBatch(runner: QueryRunner, pass: Pass): Promise<RelayedBatch> {
  const { tables, namespace, handlers, last, limits } = pass;
  const rows = await execute<EventRow & { seq: string }>(
    runner,
    relay.readDue(tables, namespace, limits.batchSize),
  );
  if (rows.length > 0) {
    const seqs = rows.map(({ seq }) => Number(seq));
    await execute(runner, relay.copyToLog(tables, last, seqs));
    const { rescueAfterMs } = limits;
    if (handlers.length > 0) {
      const sized = handlers.map((handler) => ({
        ...handler,
        chunkSize: chunkSize(handler, rows.length),
      }));
      await execute(runner, relay.makeDeliveries(tables, namespace, last, sized, rescueAfterMs));
    }
    await execute(runner, addOwed(tables, namespace, rows, handlersPerName(handlers)));
    await execute(runner, relay.deleteFromOutbox(tables, seqs));
    await execute(runner, relay.savePosition(tables, namespace, last + rows.length));
  }
  return {
    events: rows.map((row, index) => ({ ...toLoggedEvent(row), position: last + index + 1 })),
    handlers,
    full: rows.length >= limits.batchSize,
  };
}
