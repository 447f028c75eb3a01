import { userInfo } from 'node:os';
import { canInstall, install } from './install.mjs';
import { askMysql, hasMariadbBinaries, startMariadb } from './mariadb.mjs';
import { askPostgres, hasPostgresBinaries, startPostgres } from './postgres.mjs';
import { askRedis, hasRedisBinary, startRedis } from './redis.mjs';

/**
 * PostgreSQL, MariaDB and Redis for tests and smoke scripts. Each is looked for in this order: the address
 * in its variable; a server on its default port; installed binaries, started as a child process;
 * binaries installed now, on Debian as root.
 *
 * @typedef {object} FoundService
 * @property {string} url
 * @property {string} found what it is and where it came from, for people
 * @property {() => Promise<void>} stop ends it if it was started here
 */

/**
 * @typedef {object} ServiceKind
 * @property {string} title
 * @property {string} variable
 * @property {string} debianPackage
 * @property {() => string[]} defaultUrls
 * @property {(url: string) => Promise<string>} ask resolves with the server's version
 * @property {() => boolean} isInstalled
 * @property {() => Promise<import('./child-server.mjs').PrivateServer>} start
 */

/** @type {ServiceKind} */
const POSTGRES = {
  title: 'PostgreSQL',
  variable: 'TEST_DATABASE_URL',
  debianPackage: 'postgresql',
  defaultUrls: defaultPostgresUrls,
  ask: askPostgres,
  isInstalled: hasPostgresBinaries,
  start: startPostgres,
};

/** @type {ServiceKind} */
const MARIADB = {
  title: 'MariaDB',
  variable: 'TEST_MARIADB_URL',
  debianPackage: 'mariadb-server',
  defaultUrls: () => ['mysql://root@127.0.0.1:3306/mysql'],
  ask: askMysql,
  isInstalled: hasMariadbBinaries,
  start: startMariadb,
};

/** @type {ServiceKind} */
const REDIS = {
  title: 'Redis',
  variable: 'TEST_REDIS_URL',
  debianPackage: 'redis-server',
  defaultUrls: () => ['redis://127.0.0.1:6379'],
  ask: askRedis,
  isInstalled: hasRedisBinary,
  start: startRedis,
};

/**
 * Finds or starts all of them, and prints one line for each.
 *
 * @returns {Promise<{ databaseUrl: string, mariadbUrl: string, redisUrl: string, stop(): Promise<void> }>}
 */
export async function findServices() {
  /** @type {FoundService[]} */
  const services = [];
  const stop = async () => void (await Promise.all(services.map((service) => service.stop())));
  try {
    for (const kind of [POSTGRES, MARIADB, REDIS]) {
      const service = await find(kind);
      services.push(service);
      console.log(`${kind.title}: ${service.found}`);
    }
  } catch (error) {
    await stop();
    throw error;
  }
  const [databaseUrl = '', mariadbUrl = '', redisUrl = ''] = services.map(({ url }) => url);
  return { databaseUrl, mariadbUrl, redisUrl, stop };
}

export const findPostgres = () => find(POSTGRES);

export const findMariadb = () => find(MARIADB);

export const findRedis = () => find(REDIS);

/**
 * @param {ServiceKind} kind
 * @returns {Promise<FoundService>}
 */
async function find(kind) {
  return (await fromVariable(kind)) ?? (await onDefaultPort(kind)) ?? (await startOwn(kind));
}

/**
 * @param {ServiceKind} kind
 * @returns {Promise<FoundService | undefined>}
 */
async function fromVariable({ title, variable, ask }) {
  const url = process.env[variable];
  if (!url) return undefined;
  try {
    return { url, found: `${await ask(url)} from ${variable}`, stop: async () => {} };
  } catch (error) {
    // Whoever names a server wants that one; another would hide the mistake.
    throw new Error(
      `${variable} is set, but ${title} can't be used there: ${reason(error)}. ` +
        `Correct or unset ${variable}.`,
      { cause: error },
    );
  }
}

/**
 * @param {ServiceKind} kind
 * @returns {Promise<FoundService | undefined>}
 */
async function onDefaultPort({ defaultUrls, ask }) {
  for (const url of defaultUrls()) {
    try {
      return { url, found: `${await ask(url)} at ${new URL(url).host}`, stop: async () => {} };
    } catch {
      // Nobody there, or not for us: try the next place.
    }
  }
  return undefined;
}

/**
 * Starts the installed binaries, and installs them first if they are missing.
 *
 * @param {ServiceKind} kind
 * @returns {Promise<FoundService>}
 */
export async function startOwn({ title, variable, debianPackage, ask, isInstalled, start }) {
  if (!isInstalled() && canInstall()) {
    console.log(`${title}: not installed, installing the package ${debianPackage}`);
    install(debianPackage);
  }
  if (!isInstalled()) {
    throw new Error(
      `${title} not found: ${variable} is not set, no server on the default port that lets us ` +
        `in, and no installed binaries. Install the package ${debianPackage}, or set ${variable}.`,
    );
  }
  const { url, pid, stop } = await start();
  // It has answered already, and may be slow to do so again.
  const version = await ask(url).catch(() => 'unknown version');
  return { url, found: `${version} started for this run, pid ${pid}, ${url}`, stop };
}

function defaultPostgresUrls() {
  const { PGHOST, PGPORT, PGUSER, PGPASSWORD } = process.env;
  // PGHOST may be the folder of a Unix socket, which a URL's host can't be.
  const host = PGHOST && !PGHOST.startsWith('/') ? PGHOST : '127.0.0.1';
  const names = [PGUSER, 'postgres', userInfo().username].filter((name) => name !== undefined);
  return [...new Set(names)].map((name) => {
    const url = new URL(`postgres://${host}:${PGPORT ?? 5432}/postgres`);
    url.username = encodeURIComponent(name);
    if (PGPASSWORD) url.password = encodeURIComponent(PGPASSWORD);
    return url.href;
  });
}

/**
 * @param {unknown} error
 * @returns {string}
 */
function reason(error) {
  // A refused connection to a host with several addresses has an empty message and many errors.
  if (error instanceof AggregateError) return error.errors.map(reason).join('; ');
  return error instanceof Error ? error.message : String(error);
}
