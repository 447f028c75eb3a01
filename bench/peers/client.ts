import pg from 'pg';
import { heldTransaction } from '../contenders/held-transaction.js';

/** A pool of the benchmark's own beside the library's: to make events, and to look what is done. */
export class SideClient {
  private readonly pool: pg.Pool;

  constructor(databaseUrl: string) {
    this.pool = new pg.Pool({ connectionString: databaseUrl, max: 2 });
  }

  async query<Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> {
    return (await this.pool.query<Row & pg.QueryResultRow>(text, values)).rows;
  }

  /** Resolves to the number in the first column of the only row. */
  async number(text: string): Promise<number> {
    const [row] = await this.query<Record<string, unknown>>(text);
    return Number(Object.values(row ?? {})[0]);
  }

  /** Writes in a transaction; the result commits it. */
  hold(write: (client: pg.PoolClient) => Promise<void>): Promise<() => Promise<void>> {
    return heldTransaction(async (hold) => {
      const client = await this.pool.connect();
      try {
        await client.query('BEGIN');
        await write(client);
        await hold();
        await client.query('COMMIT');
      } finally {
        client.release();
      }
    });
  }

  close(): Promise<void> {
    return this.pool.end();
  }
}
