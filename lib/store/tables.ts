import { InvalidOptionsError } from '../errors.js';

export interface TableOptions {
  /** Prefix of all table names. */
  readonly prefix: string;
  /** Database schema of the tables; undefined: the connection's default. */
  readonly schema: string | undefined;
}

/** Quoted, qualified names of the library's tables. */
export interface Tables {
  readonly outbox: string;
  readonly log: string;
  readonly deliveries: string;
  readonly handlers: string;
  readonly relay: string;
  readonly idempotency: string;
  readonly attempts: string;
  readonly ledger: string;
  readonly operations: string;
  readonly migrations: string;
  /** For names of indexes: the prefix, unquoted. */
  readonly prefix: string;
  readonly schema: string | undefined;
}

export type QuoteIdentifier = (identifier: string) => string;

const PREFIX = /^[A-Za-z_][A-Za-z0-9_]{0,29}$/;
const SCHEMA = /^[A-Za-z_][A-Za-z0-9_$]{0,62}$/;

/** @throws InvalidOptionsError for names outside the allow-list */
export function tableNames({ prefix, schema }: TableOptions, quote: QuoteIdentifier): Tables {
  if (!PREFIX.test(prefix)) {
    throw new InvalidOptionsError(
      'tables.prefix',
      `is ${JSON.stringify(prefix)}; use 1 to 30 letters, digits and "_", starting with no digit.`,
    );
  }
  if (schema !== undefined && !SCHEMA.test(schema)) {
    throw new InvalidOptionsError(
      'tables.schema',
      `is ${JSON.stringify(schema)}; use 1 to 63 letters, digits, "_" and "$", starting with no digit.`,
    );
  }
  const qualified = (name: string) =>
    (schema === undefined ? '' : `${quote(schema)}.`) + quote(prefix + name);
  return {
    outbox: qualified('outbox'),
    log: qualified('log'),
    deliveries: qualified('deliveries'),
    handlers: qualified('handlers'),
    relay: qualified('relay'),
    idempotency: qualified('idempotency'),
    attempts: qualified('attempts'),
    ledger: qualified('ledger'),
    operations: qualified('operations'),
    migrations: qualified('migrations'),
    prefix,
    schema,
  };
}
