import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import mysql from 'mysql2/promise';
import { startChildServer } from './child-server.mjs';
import { findBinFolder } from './executables.mjs';
import { unprivilegedUser } from './unprivileged-user.mjs';

const run = promisify(execFile);

/**
 * Its files, and none of others: at its start MariaDB deletes all temporary tables in its `tmpdir`,
 * where another server may be using them.
 *
 * @param {string} folder
 */
const places = (folder) => [`--datadir=${join(folder, 'data')}`, `--tmpdir=${folder}`];

export function hasMariadbBinaries() {
  return findBinFolder(['mariadbd']) !== undefined && installer() !== undefined;
}

/** Debian keeps the server in `sbin`, and what makes its data folder in `bin`. */
function installer() {
  return findBinFolder(['mariadb-install-db']);
}

/**
 * Starts a MariaDB of our own from the installed binaries.
 *
 * @returns {Promise<import('./child-server.mjs').PrivateServer>}
 */
export async function startMariadb() {
  const bin = findBinFolder(['mariadbd']);
  const scripts = installer();
  if (!bin || !scripts) {
    throw new Error('MariaDB is not installed: no `mariadbd` or no `mariadb-install-db` found.');
  }
  // MariaDB refuses to run as root unless it is told to.
  const user = unprivilegedUser(['mysql', 'nobody']);
  return startChildServer({
    name: 'mariadb',
    stopSignal: 'SIGTERM',
    user,
    async prepare(folder) {
      await run(
        join(scripts, 'mariadb-install-db'),
        ['--no-defaults', ...places(folder)]
          // Anybody on this machine may come in as root: it is theirs for a minute.
          .concat(['--auth-root-authentication-method=normal', '--skip-test-db']),
        { cwd: folder, ...user },
      );
    },
    command: (folder, port) => [
      join(bin, 'mariadbd'),
      ['--no-defaults', ...places(folder)]
        .concat(['--bind-address=127.0.0.1', `--port=${port}`])
        .concat([`--socket=${join(folder, 'socket')}`, `--pid-file=${join(folder, 'mariadb.pid')}`])
        // Only a crash of the machine needs fsync, and its data is gone then anyway; 2 is the
        // setting that writes the log at each commit, for the kernel to keep.
        .concat(['--max-connections=200', '--innodb-flush-log-at-trx-commit=2', '--skip-log-bin']),
    ],
    url: (port) => `mysql://root@127.0.0.1:${port}/mysql`,
    ask: askMysql,
  });
}

/**
 * Rejects unless a server answers there, and lets this user create databases. MySQL answers too.
 *
 * @param {string} url
 * @returns {Promise<string>} its version
 */
export async function askMysql(url) {
  const connection = await mysql.createConnection({ uri: url, connectTimeout: 2_000 });
  // A server that goes away later must not end the process; the query below reports what matters.
  connection.on('error', () => {});
  try {
    const [rows] = await connection.query('SELECT VERSION() AS version');
    const [grants] = await connection.query('SHOW GRANTS');
    if (!/GRANT (ALL PRIVILEGES|.*\bCREATE\b.*) ON \*\.\*/.test(JSON.stringify(grants))) {
      throw new Error('this user may not create databases');
    }
    const [row] = /** @type {{ version: string }[]} */ (rows);
    return row?.version ?? 'unknown version';
  } finally {
    connection.destroy();
  }
}
