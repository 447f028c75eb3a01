import { QueryFailedError } from 'typeorm';
import type { ConnectionLoss } from '../store.js';

/**
 * SQLSTATE classes and codes that say "not now" rather than "wrong"
 * (https://www.postgresql.org/docs/current/errcodes-appendix.html).
 */
const TRANSIENT_CLASSES = new Set(['08', '53', '57', '58']);
const TRANSIENT_CODES = new Set([
  '25006', // read-only transaction: a standby that has not been promoted yet
  '25P03', // idle_in_transaction_session_timeout ended the session
  '40001', // serialization failure
  '40P01', // deadlock
  '55P03', // lock not available
  '42501', // privilege missing: revoked, or not granted yet
  '3D000', // database does not exist (yet, again)
]);
const SOCKET_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);
/** pg reports lost connections without a code. */
const LOST_CONNECTION =
  /connection terminated|connection (?:was )?closed|connection ended|timeout (?:exceeded|expired) when trying to connect|client was closed|not queryable|driver not connected|cannot use a pool after calling end|server closed the connection/i;

/** Codes that a handler's own statement may cause again and again: those cost attempts. */
const HANDLERS_OWN = new Set([
  '57014',
  '25006',
  '25P03',
  '55P03',
  '42501',
  '3D000',
  '53400', // a limit of the configuration, such as temp_file_limit
  '08001', // of another server, behind a foreign data wrapper
  '08004',
]);
/** Errors of files and devices: of those that a statement asks for, too. */
const HANDLERS_OWN_CLASS = '58';

const SQLSTATE = /^[0-9A-Z]{5}$/;
/** The server is stopped or has crashed, or an administrator ended the session. */
const SESSION_ENDED = new Set(['57P01', '57P02', '57P03']);
/** idle_in_transaction_session_timeout, transaction_timeout. */
const SESSION_LIMITS = new Set(['25P03', '25P04']);

/** Whether the database is out of reach, or asks to try again; see the contract. */
export function isInfrastructureError(
  error: unknown,
  from: 'store' | 'handler' = 'store',
): boolean {
  const cause = error instanceof QueryFailedError ? (error.driverError as unknown) : error;
  if (!(cause instanceof Error)) return false;
  // Out of a handler, only what TypeORM reports is about a database.
  if (from === 'handler' && !(error instanceof QueryFailedError)) return false;
  const code = (cause as { code?: unknown }).code;
  if (typeof code === 'string') {
    if (from === 'handler' && isHandlersOwn(code)) return false;
    if (SOCKET_CODES.has(code) || TRANSIENT_CODES.has(code)) return true;
    if (SQLSTATE.test(code)) return TRANSIENT_CLASSES.has(code.slice(0, 2));
  }
  if (cause instanceof AggregateError) {
    return cause.errors.some((each) => isInfrastructureError(each, 'store'));
  }
  return LOST_CONNECTION.test(cause.message);
}

function isHandlersOwn(code: string): boolean {
  return HANDLERS_OWN.has(code) || (SQLSTATE.test(code) && code.slice(0, 2) === HANDLERS_OWN_CLASS);
}

/** See the contract. */
export function connectionLoss(error: unknown): ConnectionLoss | undefined {
  const cause = error instanceof QueryFailedError ? (error.driverError as unknown) : error;
  const { code } = (cause ?? {}) as { code?: unknown };
  if (typeof code === 'string' && SQLSTATE.test(code) && !SOCKET_CODES.has(code)) {
    if (SESSION_ENDED.has(code)) return 'ended';
    return SESSION_LIMITS.has(code) ? 'limit' : undefined;
  }
  return isInfrastructureError(cause) ? 'unexplained' : undefined;
}

/** Whether the database answered, and only chose another transaction; see the contract. */
export function isContention(error: unknown): boolean {
  const { driverError = error } = (error ?? {}) as { driverError?: unknown };
  const { code } = (driverError ?? {}) as { code?: unknown };
  return typeof code === 'string' && (/^40[0-9A-Z]{3}$/.test(code) || code === '55P03');
}
