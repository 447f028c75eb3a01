import { QueryFailedError } from 'typeorm';

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
const HANDLERS_OWN = new Set(['57014', '25006', '55P03', '42501', '3D000']);

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
    if (from === 'handler' && HANDLERS_OWN.has(code)) return false;
    if (SOCKET_CODES.has(code) || TRANSIENT_CODES.has(code)) return true;
    if (/^[0-9A-Z]{5}$/.test(code)) return TRANSIENT_CLASSES.has(code.slice(0, 2));
  }
  if (cause instanceof AggregateError) {
    return cause.errors.some((each) => isInfrastructureError(each, 'store'));
  }
  return LOST_CONNECTION.test(cause.message);
}
