import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import pg from 'pg';
import { TcpProxy } from '../support/proxy.js';
import { startPostgres, startRedis, type PrivateServer } from '../support/services.js';
import { Admin } from './admin.js';
import { AppChild } from './app-child.js';
import { BUSINESS_TABLES } from './app/orders.js';
import type { Failpoint, FailpointAction, Role } from './app/protocol.js';
import { CommitCutter } from './commit-cutter.js';
import { Observer } from './observer.js';
import { WATCH } from './watch.sql.js';

const BOOT_MS = 60_000;
/** Which processes of the application there are. */
const CHILDREN: readonly (readonly [Role, number])[] = [
  ['worker', 2],
  ['relay', 2],
  ['emitter', 2],
];

export type QueueKind = 'redis' | 'postgres';

export interface SystemOptions {
  readonly seed: string;
  readonly queue: QueueKind;
  /** Folder for the children's logs. */
  readonly logs: string;
}

/** A child and its ways to the services. */
export interface Member {
  readonly child: AppChild;
  readonly database: TcpProxy;
  readonly commits: CommitCutter;
  readonly queue: TcpProxy;
}

interface Hit {
  readonly member: Member;
  readonly failpoint: Failpoint;
  readonly action: FailpointAction;
}

/** Everything under test: servers, proxies, and the application's processes. */
export class System {
  readonly crashes: string[] = [];
  /** Jobs that came before their delivery was committed. */
  readonly earlyJobs: string[] = [];
  readonly hits: Hit[] = [];
  readonly members: Member[] = [];
  readonly admin: Admin;
  readonly observer: Observer;
  onHit: (hit: Hit) => void = () => undefined;

  private constructor(
    readonly options: SystemOptions,
    readonly postgres: PrivateServer,
    /** Undefined where the queue is in PostgreSQL. */
    readonly redis: PrivateServer | undefined,
  ) {
    const url = databaseUrl(postgres.port, 'postgres');
    this.admin = new Admin(url);
    this.observer = new Observer(new Admin(url));
  }

  static async start(options: SystemOptions): Promise<System> {
    mkdirSync(options.logs, { recursive: true });
    const [postgres, redis] = await Promise.all([
      startPostgres(),
      options.queue === 'redis' ? startRedis() : undefined,
    ]);
    const system = new System(options, postgres, redis);
    try {
      await system.createDatabase();
      await system.startChildren();
      return system;
    } catch (error) {
      await system.stop();
      throw error;
    }
  }

  of(role: Role): Member[] {
    return this.members.filter(({ child }) => child.role === role);
  }

  /** Ends everything by force. Idempotent. */
  async stop(): Promise<void> {
    for (const { child } of this.members) {
      child.letGo();
      child.kill();
    }
    await this.observer.stop();
    await this.admin.close();
    await Promise.all(
      this.members.flatMap(({ database, commits, queue }) => [
        database.close(),
        commits.close(),
        queue.close(),
      ]),
    );
    this.members.length = 0;
    await Promise.all([this.postgres.stop(), this.redis?.stop()]);
  }

  /** Deletes everything the queue holds, as a FLUSHALL does. */
  async wipeQueue(): Promise<void> {
    if (this.redis === undefined) {
      await this.admin.query('TRUNCATE bullmq.job, bullmq.meta, bullmq.event CASCADE');
      return;
    }
    await withRedis(this.redis.url, (redis) => redis.flushall());
  }

  /** Jobs that are anywhere in the queue. */
  async jobs(): Promise<string[]> {
    if (this.redis === undefined) {
      const rows = await this.admin.query<{ id: string; state: string }>(
        'SELECT id, state FROM bullmq.job ORDER BY seq LIMIT 1000',
      );
      return rows.map(({ id, state }) => `${id} (${state})`);
    }
    return withRedis(this.redis.url, async (redis) => {
      const jobs = new Set<string>();
      const stream = redis.scanStream({ match: 'bull:events.default.default:*', count: 1_000 });
      for await (const keys of stream as AsyncIterable<string[]>) {
        for (const key of keys) {
          const id = key.split(':')[2]!;
          if (id.startsWith('default-')) jobs.add(id);
        }
      }
      return [...jobs];
    });
  }

  private async createDatabase(): Promise<void> {
    const client = new pg.Client({ connectionString: this.postgres.url });
    await client.connect();
    await client.query('CREATE ROLE app LOGIN');
    await client.query('CREATE DATABASE chaos OWNER app');
    await client.end();
    for (const statement of BUSINESS_TABLES) {
      await this.admin.query(`SET ROLE app; ${statement}; RESET ROLE`);
    }
  }

  private async startChildren(): Promise<void> {
    for (const [role, count] of CHILDREN) {
      for (let number = 1; number <= count; number++) {
        await this.addMember(role, `${role}-${number}`);
      }
    }
    for (const { child } of this.members) child.start();
    // All of them, before anything is emitted: an event has the handlers that are known when it is
    // relayed.
    await Promise.all(this.members.map(({ child }) => child.ready(BOOT_MS)));
    for (const statement of WATCH) await this.admin.query(statement);
    this.observer.start();
  }

  private async addMember(role: Role, name: string): Promise<Member> {
    const { queue: kind, logs, seed } = this.options;
    const database = await TcpProxy.listen('127.0.0.1', this.postgres.port);
    const commits = await CommitCutter.listen(database.port);
    const queuePort = (this.redis ?? this.postgres).port;
    const queue = await TcpProxy.listen('127.0.0.1', queuePort);
    const settings = {
      name,
      role,
      databaseUrl: databaseUrl(commits.port, 'app'),
      queue:
        kind === 'redis'
          ? { redis: `redis://127.0.0.1:${queue.port}` }
          : { postgres: databaseUrl(queue.port, 'app') },
    };
    const child: AppChild = new AppChild(settings, seed, join(logs, `${name}.log`), {
      onHit: (_child, failpoint, action) => {
        const hit = { member, failpoint, action };
        this.hits.push(hit);
        this.onHit(hit);
      },
      onCrash: (_child, how) => this.crashes.push(`${name} ended by itself: ${how}`),
      onBreach: (_child, what) => this.earlyJobs.push(what),
    });
    const member: Member = { child, database, commits, queue };
    this.members.push(member);
    return member;
  }
}

function databaseUrl(port: number, user: string): string {
  return `postgres://${user}@127.0.0.1:${port}/chaos`;
}

async function withRedis<T>(url: string, work: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url, { maxRetriesPerRequest: 20, retryStrategy: () => 100 });
  redis.on('error', () => undefined);
  try {
    return await work(redis);
  } finally {
    redis.disconnect();
  }
}
