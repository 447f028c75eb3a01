import type { PrivateServer } from '../../support/services.js';
import type { Admin } from './admin.js';
import type { DatabaseKind, Dialect } from './dialect.js';
import { MariadbDatabase } from './mariadb.js';
import { PostgresDatabase } from './postgres.js';

/** A child's session, as the server sees it. */
export interface Session {
  readonly ofRelay: boolean;
  /** Open, with a transaction in it that nobody goes on with. */
  readonly idle: boolean;
  /** Of its transaction, in seconds; 0: there is none. */
  readonly age: number;
}

/** The database of the application, as the supervisor uses and breaks it. */
export interface ChaosDatabase {
  readonly kind: DatabaseKind;
  readonly dialect: Dialect;
  readonly admin: Admin;
  /** Makes the database, the children's users, and nothing else. */
  create(children: readonly string[]): Promise<void>;
  /** Grants on each table, so that single ones can be revoked; after the children's first boot. */
  grantPerTable(): Promise<void>;
  childUrl(port: number, child: string): string;
  sessions(): Promise<Session[]>;
  endSessions(count: number): Promise<void>;
  /** Opened by a transaction, it keeps the server from clearing away what others delete. */
  readonly longRead: string;
  lockRows(table: string): string;
  revoke(privilege: string, table: string): Promise<void>;
  grant(privilege: string, table: string): Promise<void>;
}

export function openDatabase(kind: DatabaseKind, server: PrivateServer): ChaosDatabase {
  return kind === 'postgres' ? new PostgresDatabase(server.port) : new MariadbDatabase(server.port);
}
