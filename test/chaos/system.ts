import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { TcpProxy } from '../support/proxy.js';
import { startMariadb, startPostgres, type PrivateServer } from '../support/services.js';
import { AppChild } from './app-child.js';
import type { Failpoint, FailpointAction, Role } from './app/protocol.js';
import { startQueue, type ChaosQueue, type QueueKind } from './chaos-queue.js';
import { CommitCutter } from './commit-cutter.js';
import { openDatabase, type ChaosDatabase } from './databases/chaos-database.js';
import type { DatabaseKind } from './databases/dialect.js';
import { Observer } from './observer.js';

const BOOT_MS = 60_000;
/** Which processes of the application there are. */
const CHILDREN: readonly (readonly [Role, number])[] = [
  ['worker', 2],
  ['relay', 2],
  ['emitter', 2],
];

export interface SystemOptions {
  readonly seed: string;
  readonly database: DatabaseKind;
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
  /** Connections it had after its first boot. */
  connectionsAtBoot: number;
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
  readonly observer: Observer;
  onHit: (hit: Hit) => void = () => undefined;

  private constructor(
    readonly options: SystemOptions,
    readonly server: PrivateServer,
    readonly database: ChaosDatabase,
    readonly queue: ChaosQueue,
  ) {
    this.observer = new Observer(openDatabase(options.database, server));
  }

  static async start(options: SystemOptions): Promise<System> {
    mkdirSync(options.logs, { recursive: true });
    const server = await (options.database === 'postgres' ? startPostgres() : startMariadb());
    const database = openDatabase(options.database, server);
    const system = new System(options, server, database, await startQueue(options.queue, database));
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
    this.database.admin.close();
    this.queue.close();
    await Promise.all(
      this.members.flatMap(({ database, commits, queue }) => [
        database.close(),
        commits.close(),
        queue.close(),
      ]),
    );
    this.members.length = 0;
    await Promise.all([this.server.stop(), this.queue.server?.stop()]);
  }

  private async createDatabase(): Promise<void> {
    const { admin, dialect } = this.database;
    const names = CHILDREN.flatMap(([role, count]) => namesOf(role, count));
    await this.database.create(names);
    for (const statement of dialect.businessTables) await admin.query(statement);
    for (const table of ['orders', 'effects']) await this.database.grant('ALL', table);
  }

  private async startChildren(): Promise<void> {
    for (const [role, count] of CHILDREN) {
      for (const name of namesOf(role, count)) await this.addMember(role, name);
    }
    for (const { child } of this.members) child.start();
    // All of them, before anything is emitted: an event has the handlers that are known when it is
    // relayed.
    await Promise.all(this.members.map(({ child }) => child.ready(BOOT_MS)));
    for (const member of this.members) member.connectionsAtBoot = connectionsOf(member);
    await this.database.grantPerTable();
    for (const statement of this.database.dialect.watch) await this.database.admin.query(statement);
    this.observer.start();
  }

  private async addMember(role: Role, name: string): Promise<Member> {
    const { logs, seed, database: kind } = this.options;
    const database = await TcpProxy.listen('127.0.0.1', this.server.port);
    const { commitMessage } = this.database.dialect;
    const commits = await CommitCutter.listen(database.port, commitMessage);
    const queue = await TcpProxy.listen('127.0.0.1', (this.queue.server ?? this.server).port);
    const settings = {
      name,
      role,
      database: kind,
      databaseUrl: this.database.childUrl(commits.port, name),
      queue: this.queue.option(queue.port),
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
    const member: Member = { child, database, commits, queue, connectionsAtBoot: 0 };
    this.members.push(member);
    return member;
  }
}

/** What a child holds open, to the database and to the queue. */
export function connectionsOf({ database, queue }: Member): number {
  return database.clients + queue.clients;
}

function namesOf(role: Role, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${role}-${index + 1}`);
}
