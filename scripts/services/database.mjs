import { randomBytes } from 'node:crypto';
import pg from 'pg';

/**
 * @typedef {object} TestDatabase
 * @property {string} url
 * @property {string} name
 * @property {() => Promise<void>} drop ends its sessions too
 */

/**
 * Creates an empty database with a name of its own.
 *
 * @param {string} serverUrl of any database on that server, as a user who may create databases
 * @returns {Promise<TestDatabase>}
 */
export async function createDatabase(serverUrl) {
  const name = `events_test_${randomBytes(6).toString('hex')}`;
  // Nobody can be connected to template0, so parallel test files don't block each other.
  await execute(serverUrl, `create database ${name} template template0`);
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    name,
    drop: () => execute(serverUrl, `drop database if exists ${name} with (force)`),
  };
}

/**
 * @param {string} url
 * @param {string} sql
 */
async function execute(url, sql) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
