import { createHash } from 'node:crypto';
import { QueryFailedError, type QueryRunner } from 'typeorm';
import type { Statement } from '../statement.js';

/**
 * The connection has no statement of that name, or has it already; or a migration has changed the type of
 * what it returns.
 */
const LOST = new Set(['26000', '42P05', '0A000']);
/** Two losses in less, in ms, are no single event: not a `DISCARD ALL`, nor a migration. */
const OFTEN_MS = 60_000;

/**
 * Names of what a driver's connection has prepared: by all stores, for those of one DataSource share its
 * connections. It is the connections' state, and goes with them.
 */
const prepared = new WeakMap<object, Set<string>>();

/**
 * Statements that a connection parses and plans once. A pooler that gives each transaction another
 * connection (PgBouncer) loses them: once that happens often, they are sent whole.
 *
 * PostgreSQL keeps their plans until somebody analyzes the tables, though these may grow from nothing to
 * millions of rows meanwhile. So they are for transactions that rule out plans for small tables.
 */
export class PreparedStatements {
  private readonly names = new Map<string, string>();
  private usable = true;
  private lostAt = -Infinity;

  /** Runs a transaction; once more where it turned out that statements get lost. */
  async retrying<T>(runner: QueryRunner, transaction: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await transaction();
      } catch (error) {
        if (!this.usable || !isLost(error)) throw error;
        this.lost((await runner.connect()) as object, performance.now());
      }
    }
  }

  private lost(connection: object, now: number): void {
    // Only its own: others may have theirs still.
    for (const name of this.names.values()) prepared.get(connection)?.delete(name);
    if (now - this.lostAt < OFTEN_MS) this.usable = false;
    this.lostAt = now;
  }

  /** Statements that do the same, and are prepared on the runner's connection. */
  async use(runner: QueryRunner, statements: readonly Statement[]): Promise<readonly Statement[]> {
    if (!this.usable) return statements;
    const connection = (await runner.connect()) as object;
    const names = prepared.get(connection) ?? new Set();
    prepared.set(connection, names);
    const used: Statement[] = [];
    for (const statement of statements) {
      const { text, values } = statement;
      const name = this.nameOf(statement);
      if (!names.has(name)) {
        await runner.query(`PREPARE ${name} AS ${text}`);
        names.add(name);
      }
      const parameters = values.map((_value, index) => `$${index + 1}`);
      used.push({ text: `EXECUTE ${name}(${parameters.join(', ')})`, values });
    }
    return used;
  }

  /** By what it does, so that other versions of the library can't mean another statement by it. */
  private nameOf({ text, name: what = 'statement' }: Statement): string {
    let name = this.names.get(text);
    if (name === undefined) {
      name = `events_${what}_${createHash('sha256').update(text).digest('hex').slice(0, 24)}`;
      this.names.set(text, name);
    }
    return name;
  }
}

function isLost(error: unknown): boolean {
  const { code } = (error instanceof QueryFailedError ? error.driverError : {}) as {
    code?: string;
  };
  return code !== undefined && LOST.has(code);
}
