import { QueryFailedError } from 'typeorm';
import type { ConnectionLoss } from '../store.js';

/** Another connection has the file, or a transaction this one. */
const CONTENTION = /^SQLITE_(BUSY|LOCKED)/;
/** Says "not now" rather than "wrong", whoever's statement it was. */
const OUT_OF_ORDER = /^SQLITE_(CANTOPEN|FULL|IOERR|NOMEM|PROTOCOL)/;
/** better-sqlite3's, of a DataSource that was destroyed. */
const CLOSED = /database connection is not open/i;

/** An operation waited too long for the end of a transaction on the only connection. */
export class ConnectionTakenError extends Error {
  readonly code = 'SQLITE_BUSY';

  constructor(waitedMs: number) {
    super(
      `A transaction has been open for ${waitedMs} ms on the only connection that a DataSource has to ` +
        `SQLite. Is this called within it? Then it waits for itself: call it after the commit.`,
    );
    this.name = 'ConnectionTakenError';
  }
}

/** Whether the database is out of reach, or asks to try again; see the contract. */
export function isInfrastructureError(
  error: unknown,
  from: 'store' | 'handler' = 'store',
): boolean {
  // Out of a handler, only what TypeORM reports is about a database.
  if (from === 'handler' && !(error instanceof QueryFailedError)) return false;
  const cause = causeOf(error);
  const code = codeOf(cause);
  if (OUT_OF_ORDER.test(code) || isClosed(cause)) return true;
  return from === 'store' && CONTENTION.test(code);
}

export function isContention(error: unknown): boolean {
  return CONTENTION.test(codeOf(causeOf(error)));
}

export function connectionLoss(error: unknown): ConnectionLoss | undefined {
  return isClosed(causeOf(error)) ? 'ended' : undefined;
}

function isClosed(cause: unknown): boolean {
  return cause instanceof Error && CLOSED.test(cause.message);
}

function codeOf(cause: unknown): string {
  const { code } = cause instanceof Error ? (cause as { code?: unknown }) : {};
  return typeof code === 'string' ? code : '';
}

function causeOf(error: unknown): unknown {
  return error instanceof QueryFailedError ? error.driverError : error;
}
