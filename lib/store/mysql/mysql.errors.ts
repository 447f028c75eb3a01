import { QueryFailedError } from 'typeorm';
import type { ConnectionLoss, TransactionDamage } from '../store.js';

const LOCK_WAIT_TIMEOUT = 1205;
const LOCK_TABLE_FULL = 1206;
const DEADLOCK = 1213;
/** MySQL, for NOWAIT; MariaDB answers with {@link LOCK_WAIT_TIMEOUT}. */
const LOCK_TAKEN = 3572;
/** MariaDB, with innodb_snapshot_isolation: it rolls back like a deadlock. */
const RECORD_CHANGED = 1020;

/** Server errors that say "not now" rather than "wrong" (mysqld_error.h of both servers). */
const TRANSIENT = new Set([
  1021, // disk full
  1037, // out of memory
  1038, // out of sort memory
  1040, // too many connections
  1041, // out of resources
  1044, // access to the database denied: revoked, or not granted yet
  1045, // access denied
  1047, // Galera: the node is not ready
  1049, // database does not exist (yet, again)
  1053, // server shutdown in progress
  1114, // table is full: no space left
  1129, // host is blocked
  1142, // privilege missing
  1152, // aborted connection
  1158, // errors of the network, as the server sees them
  1159,
  1160,
  1161,
  1203, // too many connections of this user
  LOCK_WAIT_TIMEOUT,
  LOCK_TABLE_FULL,
  DEADLOCK,
  RECORD_CHANGED,
  1226, // a limit of this user
  1290, // --read-only: a replica that has not been promoted yet
  1317, // query interrupted
  1792, // read-only transaction
  1836, // read-only mode
  1927, // connection killed (MariaDB)
  1969, // max_statement_time (MariaDB)
  2006, // server has gone away
  2013, // lost connection
  3024, // max_execution_time (MySQL)
  3169, // session was killed
  LOCK_TAKEN,
  4031, // disconnected for inactivity (MySQL)
]);

/**
 * Codes that a handler's own statement may cause again and again: those cost attempts. A full disk
 * (1021), a lack of memory (1037, 1041) and a user's hourly limits (1226) are the server's state: the
 * library's own statements meet them too.
 */
const HANDLERS_OWN = new Set([
  1038, // of the rows that it sorts
  1044,
  1045,
  1049,
  1114, // its own table may be, or a temporary one
  1142,
  LOCK_WAIT_TIMEOUT,
  LOCK_TABLE_FULL, // of the rows that it locks
  1290,
  1317,
  1792,
  1836,
  1969,
  3024,
  LOCK_TAKEN,
]);

/** The server says that it, or an administrator, ended the session. */
const SESSION_ENDED = new Set([1053, 1927, 3169]);
/** Those of the driver's side, and an idle session's end: it may have been idle in the pool. */
const SESSION_GONE = new Set([2006, 2013, 4031]);

/** Of mysql2 and of sockets; other errors of mysql2's that are `fatal` have no code. */
const CONNECTION_CODES = new Set([
  'PROTOCOL_CONNECTION_LOST',
  'PROTOCOL_SEQUENCE_TIMEOUT',
  'POOL_NOEXIST', // of a cluster that has given a server up
  'POOL_NONEONLINE',
  'ERR_STREAM_DESTROYED', // a statement after a reset of which mysql2 has not heard yet
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);
const LOST_CONNECTION =
  /connection lost|connection terminated|closed state|pool is closed|no connections available|queue limit reached|connection is not established/i;

/** Where the lock is taken, MariaDB answers these with {@link LOCK_WAIT_TIMEOUT}, too. */
const TRY_LOCK = /^\s*\(?\s*(?:SELECT|WITH)\b[^]*\b(?:NOWAIT|WAIT\s+\d+)\s*\)?\s*;?\s*$/i;

interface DriverError extends Error {
  readonly errno?: unknown;
  readonly code?: unknown;
}

/** Whether the database is out of reach, or asks to try again; see the contract. */
export function isInfrastructureError(
  error: unknown,
  from: 'store' | 'handler' = 'store',
): boolean {
  const cause = causeOf(error);
  if (!(cause instanceof Error)) return false;
  // Out of a handler, only what TypeORM reports is about a database.
  if (from === 'handler' && !(error instanceof QueryFailedError)) return false;
  const number = numberOf(cause);
  if (number !== undefined) {
    return TRANSIENT.has(number) && !(from === 'handler' && HANDLERS_OWN.has(number));
  }
  const { code } = cause;
  if (typeof code === 'string' && CONNECTION_CODES.has(code)) return true;
  if (cause instanceof AggregateError) {
    return cause.errors.some((each) => isInfrastructureError(each, 'store'));
  }
  return LOST_CONNECTION.test(cause.message);
}

/**
 * A2, A3: see the contract. Other errors undo their statement too, but nobody expects it to have
 * worked; nor a SELECT that was not to wait for a lock, or only so long.
 */
export function damageOf(error: unknown, text = ''): TransactionDamage | undefined {
  switch (numberOf(causeOf(error))) {
    case DEADLOCK:
    case LOCK_TABLE_FULL:
    case RECORD_CHANGED:
      return 'transaction';
    case LOCK_WAIT_TIMEOUT:
      return TRY_LOCK.test(text) ? undefined : 'statement';
    default:
      return undefined;
  }
}

/** See the contract. */
export function connectionLoss(error: unknown): ConnectionLoss | undefined {
  const cause = causeOf(error);
  const number = numberOf(cause);
  if (number !== undefined) {
    if (SESSION_ENDED.has(number)) return 'ended';
    return SESSION_GONE.has(number) ? 'unexplained' : undefined;
  }
  return isInfrastructureError(cause) ? 'unexplained' : undefined;
}

/** Whether the database answered, and only chose another transaction; see the contract. */
export function isContention(error: unknown): boolean {
  return isLockConflict(error) || numberOf(causeOf(error)) === LOCK_TAKEN;
}

/** Whether a transaction of the library's own may just be run again. */
export function isLockConflict(error: unknown): boolean {
  return damageOf(error) !== undefined;
}

/** The server's number. Of an error that came without a statement, mysql2 gives it as `code`. */
function numberOf(cause: DriverError | undefined): number | undefined {
  const number = cause?.errno ?? cause?.code;
  return typeof number === 'number' && number > 0 ? number : undefined;
}

function causeOf(error: unknown): DriverError | undefined {
  const cause = error instanceof QueryFailedError ? (error.driverError as unknown) : error;
  return cause instanceof Error ? cause : undefined;
}
