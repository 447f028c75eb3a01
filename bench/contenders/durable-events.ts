import { Injectable, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import {
  defineEvent,
  EventBus,
  EventHandler,
  EventsModule,
  type DomainEvent,
  Signals,
  type EventsModuleOptions,
} from 'nestjs-durable-events';
import type { DataSource, Logger } from 'typeorm';
import { chunksOf, EVENT_NAME, makeData, type OrderData } from '../event.js';
import type { Task } from '../protocol.js';
import { handlersOf, type Contender, type OnHandled } from './contender.js';
import { PassTimes } from './pass-times.js';
import { heldTransaction } from './held-transaction.js';
import { machineMs, roleOf, type LatencyContender } from './latency.js';

export const OrderPlaced = defineEvent<OrderData>(EVENT_NAME);
type Placed = DomainEvent<typeof OrderPlaced>;

/** The library's defaults, but for tables made at boot: production makes them by a migration. */
const SETTINGS = { migrate: true } satisfies EventsModuleOptions;
/** Rows of one INSERT while events are made, which is not measured. */
const SEED_ROWS = 500;

/** A running application, for scenarios that look deeper than a drain. */
export interface App {
  readonly dataSource: DataSource;
  readonly events: EventBus;
  /** Of the library or its module's providers. */
  get<Value>(token: Type<Value>): Value;
  close(): Promise<void>;
}

/** Boots an application with the handlers and roles that the task's options name. */
export async function boot(task: Task, onHandled: OnHandled, logger?: Logger): Promise<App> {
  const { queue, relay, workers, poolSize } = task.options;
  @Module({
    imports: [
      TypeOrmModule.forRoot({
        type: 'postgres',
        url: task.databaseUrl,
        ...(typeof poolSize === 'number' && { poolSize }),
        ...(logger && { logging: ['query'] as const, logger }),
      }),
      EventsModule.forRoot({
        ...SETTINGS,
        ...(queue !== 'postgres' && { queue: { redis: task.redisUrl } }),
        relay: { enabled: relay !== false },
        workers: { enabled: workers !== false },
      }),
      EventsModule.forFeature([OrderPlaced]),
    ],
    providers: workers === false ? [] : [handlers(task, onHandled)],
  })
  class BenchModule {}

  const app = await NestFactory.createApplicationContext(BenchModule, {
    logger: ['error', 'warn'],
  });
  return {
    dataSource: app.get<DataSource>(getDataSourceToken()),
    events: app.get(EventBus),
    get: (token) => app.get(token),
    close: () => app.close(),
  };
}

export async function start(task: Task, onHandled: OnHandled): Promise<Contender> {
  const app = await boot(task, onHandled);
  const { dataSource, events } = app;
  const passes = new PassTimes();
  app.get(Signals).on('relay.moved', () => passes.record());
  const number = async (sql: string, values: unknown[] = []) => {
    const [row] = await dataSource.query<[Record<'value', number>]>(sql, values);
    return row.value;
  };
  const first = await number(
    `SELECT coalesce(max(position), 0)::float8 AS value FROM events_log WHERE namespace = 'default'`,
  );
  return {
    seed: (from, count) =>
      heldTransaction((hold) =>
        dataSource.transaction(async () => {
          for (const chunk of chunksOf(from, count, SEED_ROWS)) {
            await events.emitMany(chunk.map((data) => [OrderPlaced, data]));
          }
          await hold();
        }),
      ),
    done: () =>
      number(
        `SELECT count(*)::float8 AS value FROM events_deliveries
         WHERE namespace = 'default' AND position > $1 AND status = 'completed'`,
        [first],
      ),
    passMs: () => passes.median(),
    close: () => app.close(),
  };
}

function handlers(task: Task, onHandled: OnHandled): Type {
  if (task.options['batch'] === true) return batchHandler(onHandled);
  return handlersOf(task) === 3 ? threeHandlers(onHandled) : oneHandler(onHandled);
}

function oneHandler(onHandled: OnHandled): Type {
  @Injectable()
  class One {
    @EventHandler(OrderPlaced, { id: 'bench.one' })
    async one({ data }: Placed): Promise<void> {
      onHandled(data.n);
    }
  }
  return One;
}

function batchHandler(onHandled: OnHandled): Type {
  @Injectable()
  class Batch {
    @EventHandler(OrderPlaced, { id: 'bench.one', batch: { size: 100 } })
    async all(events: readonly Placed[]): Promise<void> {
      for (const { data } of events) onHandled(data.n);
    }
  }
  return Batch;
}

function threeHandlers(onHandled: OnHandled): Type {
  @Injectable()
  class Three {
    @EventHandler(OrderPlaced, { id: 'bench.one' })
    async one({ data }: Placed): Promise<void> {
      onHandled(data.n);
    }

    @EventHandler(OrderPlaced, { id: 'bench.two' })
    async two({ data }: Placed): Promise<void> {
      onHandled(data.n);
    }

    @EventHandler(OrderPlaced, { id: 'bench.three' })
    async three({ data }: Placed): Promise<void> {
      onHandled(data.n);
    }
  }
  return Three;
}

/** From the moment when the commit is acknowledged: before, the event is no fact. */
export async function startLatency(task: Task, onHandled: OnHandled): Promise<LatencyContender> {
  const role = roleOf(task);
  const roles = { relay: role !== 'emit', workers: role !== 'emit' };
  const app = await boot({ ...task, options: { ...task.options, ...roles } }, onHandled);
  return {
    async emit(n) {
      await app.dataSource.transaction(() => app.events.emit(OrderPlaced, makeData(n)));
      return machineMs();
    },
    close: () => app.close(),
  };
}
