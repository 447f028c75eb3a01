import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { startChildServer } from './child-server.mjs';
import { findBinFolder } from './executables.mjs';
import { unprivilegedUser } from './unprivileged-user.mjs';

const run = promisify(execFile);

export function hasPostgresBinaries() {
  return findBinFolder(['initdb', 'postgres']) !== undefined;
}

/** Only a crash of the machine needs fsync, and a test's data is gone then anyway. */
const TEST_SETTINGS = { max_connections: '200', fsync: 'off' };

/**
 * Starts a PostgreSQL of our own from the installed binaries.
 *
 * @param {Record<string, string>} [settings] of the server, beside or instead of those for tests
 * @returns {Promise<import('./child-server.mjs').PrivateServer>}
 */
export async function startPostgres(settings = {}) {
  const bin = findBinFolder(['initdb', 'postgres']);
  if (!bin) {
    throw new Error('PostgreSQL is not installed: no folder with `initdb` and `postgres` found.');
  }
  // PostgreSQL refuses to run as root.
  const user = unprivilegedUser(['postgres', 'nobody']);
  return startChildServer({
    name: 'postgres',
    // A "fast" shutdown: closes the sessions and writes a checkpoint.
    stopSignal: 'SIGINT',
    user,
    async prepare(folder) {
      const args = ['-D', 'data', '-U', 'postgres', '--auth=trust', '--no-sync'];
      await run(join(bin, 'initdb'), [...args, '--encoding=UTF8', '--locale=C'], {
        cwd: folder,
        ...user,
      });
    },
    command: (_folder, port) => [
      join(bin, 'postgres'),
      ['-D', 'data', '-h', '127.0.0.1', '-p', String(port), '-k', '.'].concat(
        Object.entries({ ...TEST_SETTINGS, ...settings }).flatMap(([name, value]) => [
          '-c',
          `${name}=${value}`,
        ]),
      ),
    ],
    url: (port) => `postgres://postgres@127.0.0.1:${port}/postgres`,
    ask: askPostgres,
  });
}

/**
 * Rejects unless a server answers there, and lets this user create databases.
 *
 * @param {string} url
 * @returns {Promise<string>} its version
 */
export async function askPostgres(url) {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
  // A server that goes away later must not end the process; the query below reports what matters.
  client.on('error', () => {});
  try {
    await client.connect();
    const { rows } = await client.query(
      `select current_setting('server_version') as version, rolsuper or rolcreatedb as allowed
         from pg_roles where rolname = current_user`,
    );
    if (!rows[0]?.allowed) throw new Error('this user may not create databases');
    return rows[0].version;
  } finally {
    await client.end().catch(() => {});
  }
}
