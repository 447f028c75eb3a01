import type { QueryRunner } from 'typeorm';
import { execute } from '../connection.js';
import { toLoggedEvent, type EventRow } from '../event-row.js';
import type { RelayedBatch, RelayLimits } from '../event-store.js';
import { parseSubscribers, readHandlers } from './handlers.sql.js';
import { executeScript } from './script.js';
import type { Tables } from '../tables.js';
import * as relay from './relay.sql.js';

/** Where a relay pass is made. */
interface Place {
  readonly tables: Tables;
  readonly namespace: string;
  /** Of the namespace, for where its row is gone. */
  readonly identity: string;
}

/**
 * One relay transaction on a connection of its own. READ COMMITTED, so that each statement sees what
 * was committed before it: the handlers are read under the lock, and one that was retired before it
 * gets nothing any more.
 */
export async function relayBatch(
  runner: QueryRunner,
  place: Place,
  limits: RelayLimits,
): Promise<RelayedBatch | 'busy'> {
  try {
    const batch = await moveLocked(runner, place, limits);
    await runner.query('COMMIT');
    return batch;
  } catch (error) {
    // The first error tells more than that of a rollback on a dead connection.
    await runner.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

async function moveLocked(
  runner: QueryRunner,
  place: Place,
  limits: RelayLimits,
): Promise<RelayedBatch | 'busy'> {
  const { tables, namespace } = place;
  // One way to the server and back: with one each, they took as long as all the rest of a pass.
  const [, [locked] = [], [row] = []] = await executeScript(runner, [
    { text: 'START TRANSACTION ISOLATION LEVEL READ COMMITTED', values: [] },
    relay.lockRelay(tables, namespace),
    readHandlers(tables, namespace),
  ]);
  if (locked === undefined) {
    await ensureRelayRow(runner, place);
    return 'busy';
  }
  const handlers = parseSubscribers(row?.['handlers'] ?? '[]');
  const rows = await execute<EventRow>(
    runner,
    relay.moveBatch(tables, namespace, locked['last_position'] as string, handlers, limits),
  );
  return { events: rows.map(toLoggedEvent), handlers, full: rows.length >= limits.batchSize };
}

/** Another relay has the row; or somebody emptied the table under us. */
async function ensureRelayRow(
  runner: QueryRunner,
  { tables, namespace, identity }: Place,
): Promise<void> {
  // Looked at first: an INSERT would wait for the end of the other relay's transaction.
  const rows = await execute(runner, relay.readIdentity(tables, namespace));
  if (rows.length > 0) return;
  await execute(runner, relay.ensureRelayRow(tables, namespace, identity));
}
