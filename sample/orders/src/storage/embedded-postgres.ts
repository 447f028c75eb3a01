import { PGlite } from '@electric-sql/pglite';
import { PGLiteSocketServer } from '@electric-sql/pglite-socket';
import { runMigrations } from 'bullmq';
import pg from 'pg';

const BULLMQ_SCHEMA = 'bullmq';

/**
 * Starts PGlite, PostgreSQL as WebAssembly in this process, behind a socket that ordinary drivers
 * connect to. Returns its URL.
 */
export async function startEmbeddedPostgres(): Promise<string> {
  const db = await PGlite.create();
  keepQueriesWhole(db);
  const server = new PGLiteSocketServer({ db, port: 0, maxConnections: 50 });
  await server.start();
  const url = `postgres://postgres@${server.getServerConn()}/postgres`;
  await createQueueTables(url);
  // All connections share one session, so that the search path each asks for doesn't count: this
  // one finds the application's tables as well as BullMQ's.
  await db.exec(`SET search_path TO public, ${BULLMQ_SCHEMA}`);
  return url;
}

async function createQueueTables(connectionString: string): Promise<void> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  await runMigrations(client, BULLMQ_SCHEMA);
  await client.end();
}

/**
 * A query is several messages, and between two of them the server may take one of another
 * connection, which the session would then mix up. The server waits for the rest of an open
 * transaction, so a query that is not complete yet is shown to it as one.
 */
function keepQueriesWhole(db: PGlite): void {
  const parts = new Set(['P', 'B', 'D', 'E', 'C', 'H'].map((type) => type.charCodeAt(0)));
  const run = db.execProtocolRawStream.bind(db);
  const isInTransaction = db.isInTransaction.bind(db);
  let incomplete = false;
  db.execProtocolRawStream = (message, options) => {
    incomplete = parts.has(message[0] ?? 0);
    return run(message, options);
  };
  db.isInTransaction = () => incomplete || isInTransaction();
}
