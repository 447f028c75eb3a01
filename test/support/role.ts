import { DataSource } from 'typeorm';
import { onTestFinished } from 'vitest';
import { onPostgres, type TestDatabase } from './database.js';

const PASSWORD = 'pw-of-the-role';

/** A user of a database, by another name than the one that the tests have. */
export interface Role {
  readonly url: string;
  readonly password: string;
  /** Takes a privilege on one of the tables away. */
  revoke(privilege: 'SELECT', table: string): Promise<void>;
  grant(privilege: 'SELECT', table: string): Promise<void>;
}

/**
 * A user who may do with the tables that are there all that the library does. Dropped with the test,
 * after the application that uses it: what was registered first ends last.
 *
 * @param name nobody else's on this server
 */
export async function createRole(database: TestDatabase, name: string): Promise<Role> {
  const admin = await new DataSource({
    type: onPostgres ? 'postgres' : 'mysql',
    url: database.url,
  }).initialize();
  const user = await (onPostgres ? createOnPostgres(admin, name) : createOnMariadb(admin, name));
  onTestFinished(async () => {
    await admin.query(onPostgres ? `DROP OWNED BY ${user}` : 'SELECT 1');
    await admin.query(`DROP ${onPostgres ? 'ROLE' : 'USER'} ${user}`);
    await admin.destroy();
  });
  const url = new URL(database.url);
  url.username = name;
  url.password = PASSWORD;
  return {
    url: url.href,
    password: PASSWORD,
    revoke: async (privilege, table) => {
      await admin.query(`REVOKE ${privilege} ON ${table} FROM ${user}`);
    },
    grant: async (privilege, table) => {
      await admin.query(`GRANT ${privilege} ON ${table} TO ${user}`);
    },
  };
}

async function createOnPostgres(admin: DataSource, name: string): Promise<string> {
  await admin.query(`CREATE ROLE ${name} LOGIN PASSWORD '${PASSWORD}'`);
  await admin.query(`GRANT ALL ON ALL TABLES IN SCHEMA public TO ${name}`);
  await admin.query(`GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO ${name}`);
  return name;
}

async function createOnMariadb(admin: DataSource, name: string): Promise<string> {
  const user = `'${name}'@'%'`;
  await admin.query(`CREATE USER ${user} IDENTIFIED BY '${PASSWORD}'`);
  const tables = await admin.query<Record<string, string>[]>('SHOW TABLES');
  for (const table of tables.flatMap((row) => Object.values(row))) {
    // Per table: what is granted for a whole database can't be revoked for one of its tables.
    await admin.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ${table} TO ${user}`);
  }
  return user;
}
