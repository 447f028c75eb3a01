import { execFile, execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { startChildServer } from './child-server.mjs';
import { findBinFolder } from './executables.mjs';

const run = promisify(execFile);

export function hasPostgresBinaries() {
  return findBinFolder(['initdb', 'postgres']) !== undefined;
}

/**
 * Starts a PostgreSQL of our own from the installed binaries.
 *
 * @returns {Promise<import('./child-server.mjs').PrivateServer>}
 */
export async function startPostgres() {
  const bin = findBinFolder(['initdb', 'postgres']);
  if (!bin) {
    throw new Error('PostgreSQL is not installed: no folder with `initdb` and `postgres` found.');
  }
  const user = unprivilegedUser();
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
      // Only a crash of the machine needs fsync, and its data is gone then anyway.
      ['-D', 'data', '-h', '127.0.0.1', '-p', String(port), '-k', '.'].concat([
        '-c',
        'max_connections=200',
        '-c',
        'fsync=off',
      ]),
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

/**
 * PostgreSQL refuses to run as root.
 *
 * @returns {{ uid: number, gid: number } | undefined}
 */
function unprivilegedUser() {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ['postgres', 'nobody']) {
    try {
      const id = (/** @type {string} */ flag) =>
        Number(execFileSync('id', [flag, name], { stdio: ['ignore', 'pipe', 'ignore'] }));
      return { uid: id('-u'), gid: id('-g') };
    } catch {
      // No such user: try the next one.
    }
  }
  throw new Error('PostgreSQL cannot run as root, and there is no user `postgres` or `nobody`.');
}
