import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from 'typeorm';
import { boot, OrderPlaced } from '../contenders/durable-events.js';
import { makeData } from '../event.js';
import type { Session, Task } from '../protocol.js';

export interface Idle {
  readonly queriesPerMinute: number;
  /** Of one core. */
  readonly cpuPercent: number;
  readonly rssBytes: number;
}

/** An application with all roles that has nothing to do. */
export async function start(task: Task): Promise<Session> {
  let queries = 0;
  const app = await boot(
    task,
    () => undefined,
    counter(() => queries++),
  );
  await app.dataSource.transaction(() => app.events.emit(OrderPlaced, makeData(0)));
  return {
    answers: {
      async rest(ms: number): Promise<Idle> {
        // What a boot starts has calmed down by then, and V8 has given back the memory that it took.
        await pause(ms / 2);
        queries = 0;
        const cpu = process.cpuUsage();
        await pause(ms);
        const { user, system } = process.cpuUsage(cpu);
        return {
          queriesPerMinute: (queries * 60_000) / ms,
          cpuPercent: (user + system) / 10 / ms,
          rssBytes: process.memoryUsage.rss(),
        };
      },
    },
    close: () => app.close(),
  };
}

/** TypeORM tells its logger every statement, those that open and end transactions too. */
function counter(count: () => void): Logger {
  const nothing = () => undefined;
  return {
    logQuery: count,
    logQueryError: nothing,
    logQuerySlow: nothing,
    logSchemaBuild: nothing,
    logMigration: nothing,
    log: nothing,
  };
}
