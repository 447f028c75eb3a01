import { setTimeout as delay } from 'node:timers/promises';

const LIMIT_MS = 30_000;

/** One connection, of whichever driver. */
export interface AdminConnection {
  query<Row>(text: string): Promise<Row[]>;
  /** Ends its transaction too. */
  end(): void;
}

/** How to reach a server as its superuser. */
export interface AdminDriver {
  connect(): Promise<AdminConnection>;
  isOutage(error: unknown): boolean;
}

/** The supervisor's own way to a server: past all proxies, over restarts. */
export class Admin {
  private connection: AdminConnection | undefined;

  constructor(private readonly driver: AdminDriver) {}

  /** Tries again until the server is there, at most 30 s. */
  async query<Row>(text: string): Promise<Row[]> {
    return this.persistently((connection) => connection.query<Row>(text));
  }

  /** Runs `work` on a connection of its own; again from the start if the server goes away. */
  using<T>(work: (connection: AdminConnection) => Promise<T>): Promise<T> {
    return this.persistently(async () => {
      const connection = await this.connect();
      try {
        return await work(connection);
      } finally {
        connection.end();
      }
    });
  }

  /** A connection of its own, for faults that hold something. */
  connect(): Promise<AdminConnection> {
    return this.driver.connect();
  }

  async isUp(): Promise<boolean> {
    try {
      const connection = await this.connect();
      connection.end();
      return true;
    } catch {
      return false;
    }
  }

  isOutage(error: unknown): boolean {
    return this.driver.isOutage(error);
  }

  close(): void {
    this.connection?.end();
    this.connection = undefined;
  }

  private async persistently<T>(work: (connection: AdminConnection) => Promise<T>): Promise<T> {
    const deadline = Date.now() + LIMIT_MS;
    for (;;) {
      try {
        this.connection ??= await this.connect();
        return await work(this.connection);
      } catch (error) {
        if (!this.driver.isOutage(error)) throw error;
        this.close();
        if (Date.now() > deadline) throw error;
        await delay(100);
      }
    }
  }
}
