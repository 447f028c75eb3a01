import type { DatabaseKind, Dialect } from '../databases/dialect.js';
import { MARIADB } from '../databases/mariadb.dialect.js';
import { POSTGRES } from '../databases/postgres.dialect.js';

/** Token of the {@link Dialect} of the application's statements. */
export const DIALECT = Symbol('dialect');

export function dialectOf(kind: DatabaseKind): Dialect {
  return kind === 'postgres' ? POSTGRES : MARIADB;
}
