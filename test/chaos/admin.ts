import pg from 'pg';
import { setTimeout as delay } from 'node:timers/promises';

const LIMIT_MS = 30_000;

/** The supervisor's own way to PostgreSQL: as superuser, past all proxies, over restarts. */
export class Admin {
  private client: pg.Client | undefined;

  constructor(private readonly url: string) {}

  /** Tries again until the server is there, at most 30 s. */
  async query<Row>(text: string, values: unknown[] = []): Promise<Row[]> {
    const deadline = Date.now() + LIMIT_MS;
    for (;;) {
      try {
        return (await this.once(text, values)) as Row[];
      } catch (error) {
        if (!isOutage(error) || Date.now() > deadline) throw error;
        await delay(100);
      }
    }
  }

  /** A connection of its own, for faults that hold something. */
  async connect(): Promise<pg.Client> {
    const client = new pg.Client({
      connectionString: this.url,
      connectionTimeoutMillis: 2_000,
      application_name: 'chaos supervisor',
    });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }

  async close(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    await client?.end().catch(() => undefined);
  }

  private async once(text: string, values: unknown[]): Promise<unknown[]> {
    try {
      this.client ??= await this.connect();
      const { rows } = await this.client.query(text, values);
      return rows;
    } catch (error) {
      if (isOutage(error)) {
        this.client?.end().catch(() => undefined);
        this.client = undefined;
      }
      throw error;
    }
  }
}

function isOutage(error: unknown): boolean {
  const { code = '', message = '' } = error as { code?: string; message?: string };
  return /^(ECONN|EPIPE|57P|08)/.test(code) || /terminated|timeout|not queryable/i.test(message);
}
