import type { TransactionState } from '../store.js';

/** Of the status in the server's OK packet: a transaction is open (SERVER_STATUS_IN_TRANS). */
const IN_TRANSACTION = 1;

/** What mysql2 makes of an OK packet. */
interface OkPacket {
  readonly affectedRows: number | string;
  readonly serverStatus: number;
}

const start = String.raw`^(?:\s|/\*[^]*?\*/|--[^\n]*\n|#[^\n]*\n)*`;
const work = String.raw`(?:\s+WORK)?`;
/** After these another transaction may be open, which is not the one before. */
const COMMITS = new RegExp(
  `${start}(?:COMMIT\\b|START\\s+TRANSACTION\\b|BEGIN${work}\\s*;?\\s*$)`,
  'i',
);
const ROLLS_BACK = new RegExp(`${start}ROLLBACK${work}(?!\\s+(?:WORK\\s+)?TO\\b)(?:\\s|;|$)`, 'i');
/** They return rows, and end no transaction. Others that do may: ANALYZE TABLE, for one. */
const HARMLESS = new RegExp(
  `${start}[\\s(]*(?:SELECT|WITH|VALUES|TABLE|INSERT|REPLACE|DELETE|SHOW|EXPLAIN|DESCRIBE|DESC)\\b`,
  'i',
);

/**
 * What a statement has made of the transaction that it was sent in, as the server's answer tells.
 * Most changes of tables, LOCK TABLES and more commit it, without a word but this one bit.
 *
 * @param answer as mysql2 returns it: an OK packet, rows, or an array of both
 * @param text undefined: the statement was to begin the transaction
 */
export function stateAfter(
  answer: unknown,
  text: string | undefined,
): TransactionState | undefined {
  if (text !== undefined) {
    if (ROLLS_BACK.test(text)) return 'rolled back';
    if (COMMITS.test(text)) return 'committed';
  }
  const packets = (Array.isArray(answer) ? answer : [answer]).filter(isOkPacket);
  if (packets.some(({ serverStatus }) => (serverStatus & IN_TRANSACTION) === 0)) return 'committed';
  if (packets.length > 0) return 'open';
  return text !== undefined && HARMLESS.test(text) ? undefined : 'unknown';
}

function isOkPacket(part: unknown): part is OkPacket {
  const { affectedRows, serverStatus } = (part ?? {}) as Partial<OkPacket>;
  return affectedRows !== undefined && typeof serverStatus === 'number';
}
