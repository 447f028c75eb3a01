import type { QueryRunner } from 'typeorm';
import { execute, inTransaction } from '../connection.js';
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
  // Somebody stands in for its transactions: in a test they are savepoints of the test's own.
  if (Object.hasOwn(runner, 'startTransaction')) {
    return inTransaction(runner, async () => {
      const [locked] = await execute<Locked>(
        runner,
        relay.lockRelay(place.tables, place.namespace),
      );
      const [row] = await execute<Handlers>(runner, readHandlers(place.tables, place.namespace));
      return move(runner, place, limits, locked, row);
    });
  }
  try {
    const batch = await moveInScript(runner, place, limits);
    await runner.query('COMMIT');
    return batch;
  } catch (error) {
    // The first error tells more than that of a rollback on a dead connection.
    await runner.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

/** One way to the server and back for all before the move: with one each, they took as long as the rest. */
async function moveInScript(
  runner: QueryRunner,
  place: Place,
  limits: RelayLimits,
): Promise<RelayedBatch | 'busy'> {
  const [, [locked] = [], [row] = []] = await executeScript(runner, [
    { text: 'START TRANSACTION ISOLATION LEVEL READ COMMITTED', values: [] },
    relay.lockRelay(place.tables, place.namespace),
    readHandlers(place.tables, place.namespace),
  ]);
  return move(runner, place, limits, locked as Locked | undefined, row as Handlers | undefined);
}

interface Locked {
  readonly last_position: string;
}

interface Handlers {
  readonly handlers: string;
}

async function move(
  runner: QueryRunner,
  place: Place,
  limits: RelayLimits,
  locked: Locked | undefined,
  row: Handlers | undefined,
): Promise<RelayedBatch | 'busy'> {
  const { tables, namespace } = place;
  if (locked === undefined) {
    await ensureRelayRow(runner, place);
    return 'busy';
  }
  const handlers = parseSubscribers(row?.handlers ?? '[]');
  const rows = await execute<EventRow>(
    runner,
    relay.moveBatch(tables, namespace, locked.last_position, handlers, limits),
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
