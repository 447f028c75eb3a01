import type { QueryRunner } from 'typeorm';
import { execute, inTransaction } from '../connection.js';
import { toLoggedEvent, type EventRow } from '../event-row.js';
import type { RegisteredHandler, RelayedBatch, RelayLimits } from '../event-store.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { parseSubscribers } from './handlers.sql.js';
import { OutboxFloor, type Look, type OutboxSnapshot } from './outbox-floor.js';
import { PreparedStatements } from './prepared-statements.js';
import * as relay from './relay.sql.js';
import { executeScript } from './script.js';

/** A pass that finds out about handlers or another server moves nothing, and is made again. */
const MAX_TRIES = 5;

/** Where relay passes are made. */
interface Place {
  readonly tables: Tables;
  readonly namespace: string;
  /** Of the namespace, for where its row is gone. */
  readonly identity: string;
}

interface Locked {
  /** Null where it is not locked. */
  readonly last_position: string | null;
  readonly server: string;
  readonly id: string;
  readonly xmin: string;
  /** Empty where it is not locked, or the floor's terms did not hold. */
  readonly move_after: string;
}

interface OtherHandlers {
  readonly handlers: string;
  readonly version: string;
}

interface MovedRow extends EventRow {
  /** Its number in the outbox, unless it was scheduled. */
  readonly seq: string | null;
}

type Statements = readonly [lock: Statement, handlers: Statement, move: Statement];
type Answers = readonly [locked: [Locked], others: [OtherHandlers?], rows: MovedRow[]];
/** Runs the statements of a pass in a transaction. */
type RunPass = (runner: QueryRunner, statements: Statements) => Promise<Answers>;

const BEGIN: readonly Statement[] = [
  { text: 'START TRANSACTION ISOLATION LEVEL READ COMMITTED', values: [] },
  ...relay.PASS_SETTINGS,
];
const COMMIT: Statement = { text: 'COMMIT', values: [] };

/** Makes relay passes, and remembers what makes the next one cheaper. */
export class RelayBatches {
  private readonly prepared = new PreparedStatements();
  private readonly floor = new OutboxFloor();
  private known: { readonly version: string; readonly handlers: RegisteredHandler[] } = {
    version: '',
    handlers: [],
  };

  /**
   * One relay transaction on a connection of its own. READ COMMITTED, so that each statement sees what
   * was committed before it: the handlers are looked at under the lock, and one that was retired before
   * it gets nothing any more.
   */
  async next(
    runner: QueryRunner,
    place: Place,
    limits: RelayLimits,
  ): Promise<RelayedBatch | 'busy'> {
    // In a test its transactions may be savepoints of the test's own: by a stand-in, or as TypeORM nests.
    const isJoined = runner.isTransactionActive || Object.hasOwn(runner, 'startTransaction');
    const pass = isJoined
      ? () => this.pass(runner, place, limits, oneByOne)
      : () => this.fromFloor(runner, place, limits);
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const batch = await pass();
      if (batch !== 'again') return batch;
    }
    return 'busy';
  }

  private async fromFloor(
    runner: QueryRunner,
    place: Place,
    limits: RelayLimits,
  ): Promise<RelayedBatch | 'busy' | 'again'> {
    const look = this.floor.look(performance.now());
    const atOnce: RunPass = (...given) => this.atOnce(...given);
    try {
      return await this.prepared.retrying(runner, () =>
        this.pass(runner, place, limits, atOnce, look),
      );
    } catch (error) {
      this.floor.forget();
      throw error;
    }
  }

  private async pass(
    runner: QueryRunner,
    place: Place,
    limits: RelayLimits,
    run: RunPass,
    look?: Look,
  ): Promise<RelayedBatch | 'busy' | 'again'> {
    const { tables, namespace } = place;
    const { version, handlers } = this.known;
    const [[locked], [others], rows] = await run(runner, [
      relay.lockRelay(tables, namespace, look?.terms),
      relay.readOtherHandlers(tables, namespace, version),
      relay.moveBatch(tables, namespace, look?.floor ?? 0, handlers, limits),
    ]);
    const { last_position: position } = locked;
    if (position === null) {
      await ensureRelayRow(runner, place);
      return 'busy';
    }
    if (others !== undefined) {
      this.known = { version: others.version, handlers: parseSubscribers(others.handlers) };
    }
    if (locked.move_after === '') this.floor.forget();
    if (others !== undefined || locked.move_after === '') return 'again';
    const full = rows.length >= limits.batchSize;
    if (look !== undefined) {
      const numbers = rows.flatMap(({ seq }) => (seq === null ? [] : [Number(seq)]));
      this.floor.end(
        look,
        toSnapshot(locked, Number(position)),
        { numbers, full },
        performance.now(),
      );
    }
    return { events: rows.map(toLoggedEvent), handlers, full };
  }

  /**
   * One way to the server and back: with one for each statement, most of the time of a pass that moves
   * few events was spent between them, and the lock was held by a process that may be stopped.
   */
  private async atOnce(runner: QueryRunner, statements: Statements): Promise<Answers> {
    const prepared = await this.prepared.use(runner, statements);
    const script = [...BEGIN, ...prepared, COMMIT];
    try {
      const answers = await executeScript(runner, script);
      return answers.slice(BEGIN.length, BEGIN.length + prepared.length) as unknown as Answers;
    } catch (error) {
      // The first error tells more than that of a rollback on a dead connection.
      await runner.query('ROLLBACK').catch(() => undefined);
      throw error;
    }
  }
}

function oneByOne(runner: QueryRunner, statements: Statements): Promise<Answers> {
  return inTransaction(runner, async () => {
    const answers: unknown[] = [];
    for (const statement of statements) answers.push(await execute(runner, statement));
    return answers as unknown as Answers;
  });
}

function toSnapshot({ server, id, xmin }: Locked, position: number): OutboxSnapshot {
  return { server, position, id: BigInt(id), xmin: BigInt(xmin) };
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
