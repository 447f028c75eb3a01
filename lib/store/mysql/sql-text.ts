/** A text parameter, as SQL that means the same whatever the session's settings are. */
export class SqlText {
  constructor(private readonly text: string) {}

  /**
   * Called by mysql2, which writes parameters into the statement itself. Its own way with texts is
   * wrong under NO_BACKSLASH_ESCAPES, and loses characters that the connection's `charset` does not
   * have. Bytes are right everywhere; plain ASCII without a backslash is too, and shorter.
   */
  toSqlString(): string {
    if (PLAIN.test(this.text)) return `'${this.text.replaceAll("'", "''")}'`;
    return `_utf8mb4 X'${Buffer.from(this.text).toString('hex')}'`;
  }

  /** For the application's query log. */
  toJSON(): string {
    return this.text;
  }
}

/** About how many bytes a parameter takes in a statement, at most. */
export function writtenBytes(value: unknown): number {
  if (typeof value !== 'string') return 24;
  // In quotes, of which each is doubled; or two digits a byte.
  return 16 + 2 * Buffer.byteLength(value);
}

const PLAIN = /^[\x20-\x5b\x5d-\x7e]+$/;

/** Parameters as they are given to TypeORM. */
export function toParameters(values: readonly unknown[]): unknown[] {
  return values.map((value) => {
    if (typeof value === 'string') return new SqlText(value);
    return Array.isArray(value) ? toParameters(value) : value;
  });
}

/** Bytes in a row are text: columns of free text are read as bytes, whatever the `charset` is. */
export function decodeRow(row: Record<string, unknown>): Record<string, unknown> {
  const decoded: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(row)) {
    decoded[name] = Buffer.isBuffer(value) ? value.toString('utf8') : value;
  }
  return decoded;
}

/** A free text in a SELECT list: its bytes. */
export function bytes(column: string): string {
  return `CAST(${column} AS BINARY)`;
}

/**
 * Begins an UPDATE of joined tables. Under `sql_safe_updates` a server refuses it where one of them is
 * read without a key, as JSON_TABLE is. Off for this one statement, in MariaDB's way and in MySQL's;
 * each takes the other's for a comment.
 */
export const UPDATE_JOINED =
  '/*M! SET STATEMENT sql_safe_updates = 0 FOR */ UPDATE /*+ SET_VAR(sql_safe_updates = OFF) */';

/** ISO 8601 in UTC; the driver's own Date conversion depends on options of the application's. */
export function isoUtc(column: string): string {
  return `CONCAT(LEFT(DATE_FORMAT(${column}, '%Y-%m-%dT%H:%i:%s.%f'), 23), 'Z')`;
}

/** The same to the microsecond, as it is stored: a page must begin exactly where one ended. */
export function exactUtc(column: string): string {
  return `CONCAT(DATE_FORMAT(${column}, '%Y-%m-%dT%H:%i:%s.%f'), 'Z')`;
}

/** An ISO 8601 time in UTC as a DATETIME literal's text. */
export function toDatetime(iso: string): string {
  return iso.replace('T', ' ').replace('Z', '');
}

/** Milliseconds since 1970: times are UTC without a zone, and so is the start of 1970 here. */
export function epochMs(column: string): string {
  return `FLOOR(TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', ${column}) / 1000)`;
}
