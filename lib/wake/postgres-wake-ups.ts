import { once } from 'node:events';
import pg from 'pg';
import { pause } from '../common/time-limit.js';
import { Coalesced } from './coalesced.js';
import { WAKE_GAP_MS, type Announcer, type Listener } from './wake-ups.js';

const CONNECT_LIMIT_MS = 3_000;
const QUERY_LIMIT_MS = 5_000;
const RETRY_MS = 1_000;
/** Announcing processes may be many, and most of them quiet. */
const IDLE_MS = 10_000;

/** NOTIFY in a transaction of its own: it takes a lock that all who notify share (C18). */
export const NOTIFY = "SELECT pg_notify($1, '')";

/** Notifies through connections that are there anyway. */
export class SharedPostgresAnnouncer implements Announcer {
  private readonly notifying: Coalesced;
  private closed = false;

  /** @param notify runs {@link NOTIFY} for the channel, outside of any transaction */
  constructor(notify: () => Promise<unknown>) {
    this.notifying = new Coalesced(notify, WAKE_GAP_MS);
  }

  start(): void {
    // Nothing to connect to.
  }

  wake(): void {
    if (!this.closed) this.notifying.trigger();
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

/** Notifies through a connection of its own, in a database that the application does not use. */
export class PostgresAnnouncer implements Announcer {
  private readonly pool: pg.Pool;
  private readonly notifying: Coalesced;
  private closing: Promise<void> | undefined;

  constructor(config: pg.PoolConfig, channel: string) {
    this.pool = new pg.Pool({
      connectionTimeoutMillis: CONNECT_LIMIT_MS,
      query_timeout: QUERY_LIMIT_MS,
      idleTimeoutMillis: IDLE_MS,
      keepAlive: true,
      ...config,
      max: 1,
    });
    this.pool.on('error', () => undefined);
    this.pool.on('connect', (client) => client.on('error', () => undefined));
    this.notifying = new Coalesced(() => this.pool.query(NOTIFY, [channel]), WAKE_GAP_MS);
  }

  start(): void {
    this.wake();
  }

  wake(): void {
    if (this.closing === undefined) this.notifying.trigger();
  }

  close(): Promise<void> {
    this.closing ??= this.pool.end();
    return this.closing;
  }
}

/** LISTEN on a connection of its own. One that only seems to be open hears nothing (C17). */
export class PostgresListener implements Listener {
  private readonly closing = new AbortController();
  private running: Promise<void> | undefined;
  private client: pg.Client | undefined;

  constructor(
    private readonly config: pg.ClientConfig,
    private readonly channel: string,
    private readonly onWake: () => void,
  ) {}

  start(): void {
    this.running ??= this.loop();
  }

  async close(): Promise<void> {
    this.closing.abort();
    this.client?.end().catch(() => undefined);
    await this.running;
  }

  private async loop(): Promise<void> {
    const { signal } = this.closing;
    while (!signal.aborted) {
      await this.listen().catch(() => undefined);
      await pause(RETRY_MS, signal);
    }
  }

  /** Settles when the connection has ended. */
  private async listen(): Promise<void> {
    const client = new pg.Client({
      connectionTimeoutMillis: CONNECT_LIMIT_MS,
      query_timeout: QUERY_LIMIT_MS,
      keepAlive: true,
      ...this.config,
    });
    this.client = client;
    client.on('error', () => undefined);
    client.on('notification', () => this.onWake());
    const ended = once(client, 'end');
    try {
      // One that is ended while it connects tells of nothing but its end. This also hears of a failure
      // that comes before `ended` is awaited below, and would end the process if nobody did.
      await Promise.race([client.connect(), ended]);
      await client.query(`LISTEN ${pg.escapeIdentifier(this.channel)}`);
      // What was told while there was no connection is lost.
      this.onWake();
      if (!this.closing.signal.aborted) await ended;
    } finally {
      client.end().catch(() => undefined);
    }
  }
}
