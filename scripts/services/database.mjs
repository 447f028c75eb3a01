import { randomBytes } from 'node:crypto';
import mysql from 'mysql2/promise';
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
 * The same on MySQL or MariaDB.
 *
 * @param {string} serverUrl
 * @returns {Promise<TestDatabase>}
 */
export async function createMysqlDatabase(serverUrl) {
  const name = `events_test_${randomBytes(6).toString('hex')}`;
  // A collation that our own columns must not depend on.
  await executeMysql(
    serverUrl,
    `create database ${name} character set utf8mb4 collate utf8mb4_general_ci`,
  );
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    name,
    drop: () => executeMysql(serverUrl, `drop database if exists ${name}`),
  };
}

/**
 * @param {string} url
 * @param {string} sql
 */
async function executeMysql(url, sql) {
  const connection = await mysql.createConnection(url);
  try {
    await connection.query(sql);
  } finally {
    await connection.end();
  }
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
