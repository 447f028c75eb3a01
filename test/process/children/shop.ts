/**
 * A small application in a process of its own: `emit` saves orders and their events in one
 * transaction, two handlers write a row each. See `shop.config.ts` for what it can be told.
 */
import 'reflect-metadata';
import { subscribe } from 'node:diagnostics_channel';
import { setTimeout as delay } from 'node:timers/promises';
import {
  Inject,
  Injectable,
  Module,
  type INestApplicationContext,
  type OnApplicationBootstrap,
  type OnModuleInit,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { InjectDataSource, TypeOrmModule } from '@nestjs/typeorm';
import {
  DataSource,
  EventSubscriber,
  type EntityManager,
  type EntitySubscriberInterface,
  type QueryRunner,
} from 'typeorm';
import {
  defineEvent,
  EventBus,
  EventHandler,
  EventsModule,
  type DomainEvent,
  type HandlerContext,
} from '../../../lib/index.js';
import type { ShopCommand, ShopConfig, ShopHandler, ShopMessage, ShopWork } from './shop.config.js';

const config = JSON.parse(process.env['SHOP_CONFIG'] ?? '{}') as ShopConfig;

const INSERT_EFFECT = 'INSERT INTO effects (handler, order_id) VALUES ($1, $2)';
const OrderPlaced = defineEvent<{ orderId: string }>('order.placed');

const tell = (message: ShopMessage): void => void process.send?.(message);
const killMyself = (): void => void process.kill(process.pid, 'SIGKILL');

let release: () => void;
const released = new Promise<void>((resolve) => (release = resolve));

@Injectable()
class ShopHandlers {
  constructor(@InjectDataSource() private readonly dataSource: DataSource) {}

  @EventHandler(OrderPlaced, { id: 'record' })
  record(event: DomainEvent<typeof OrderPlaced>, context: HandlerContext): Promise<void> {
    return this.handle('record', event.data.orderId, context, this.dataSource.manager);
  }

  @EventHandler(OrderPlaced, { id: 'reserve', transactional: true })
  reserve(event: DomainEvent<typeof OrderPlaced>, context: HandlerContext): Promise<void> {
    return this.handle('reserve', event.data.orderId, context, context.manager);
  }

  private async handle(
    handler: ShopHandler,
    order: string,
    { signal }: HandlerContext,
    manager: EntityManager,
  ): Promise<void> {
    tell({ type: 'started', handler, order });
    signal.addEventListener('abort', () => tell({ type: 'aborted', handler, order }));
    try {
      await work(config.work?.[handler] ?? 'quick', signal);
      await manager.query(INSERT_EFFECT, [handler, order]);
      if (manager.queryRunner !== undefined) manager.queryRunner.data = { effect: true };
    } catch (error) {
      tell({ type: 'failed', handler, order });
      throw error;
    }
    const { killPoint } = config;
    if (killPoint?.at === 'effect' && killPoint.handler === handler) killMyself();
  }
}

@EventSubscriber()
class KillWhenEffectIsCommitted implements EntitySubscriberInterface {
  afterTransactionCommit({ queryRunner }: { queryRunner: QueryRunner }): void {
    const { effect } = queryRunner.data as { effect?: boolean };
    if (effect === true && config.killPoint?.at === 'effect-committed') killMyself();
  }
}

async function work(kind: ShopWork, signal: AbortSignal): Promise<void> {
  switch (kind) {
    case 'quick':
      return;
    case 'gated':
      await released;
      await delay(300);
      return;
    case 'heeding':
      await new Promise<never>((_resolve, reject) => {
        // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- it is an error
        signal.addEventListener('abort', () => reject(signal.reason));
      });
      return;
    case 'endless':
      await new Promise<never>(() => undefined);
  }
}

@Injectable()
class Faulty implements OnModuleInit, OnApplicationBootstrap {
  // Injected, so that the library's part of the boot comes first.
  constructor(@Inject(EventBus) readonly bus: EventBus) {
    this.failIn('factory');
  }

  onModuleInit(): void {
    this.failIn('onModuleInit');
  }

  onApplicationBootstrap(): void {
    this.failIn('onApplicationBootstrap');
  }

  private failIn(place: ShopConfig['failIn']): void {
    if (config.failIn === place) throw new Error(`the application fails in its ${place}`);
  }
}

const database = TypeOrmModule.forRoot({
  type: 'postgres',
  url: config.databaseUrl,
  retryAttempts: 0,
  subscribers: [KillWhenEffectIsCommitted],
  // Idle connections of a DataSource that nobody destroys end soon, instead of after 10 s.
  extra: { idleTimeoutMillis: 500, connectionTimeoutMillis: 2_000 },
});
const events = EventsModule.forRoot(config.events);

@Module({
  imports: config.importOrder === 'events-first' ? [events, database] : [database, events],
  providers: [ShopHandlers, Faulty],
})
class ShopModule {}

async function emit(app: INestApplicationContext, orders: readonly string[]): Promise<void> {
  const bus = app.get(EventBus);
  for (const order of orders) {
    await app.get(DataSource).transaction(async (manager) => {
      await manager.query('INSERT INTO orders (id) VALUES ($1)', [order]);
      await bus.emit(OrderPlaced, { orderId: order });
    });
    if (config.killPoint?.at === 'committed') killMyself();
  }
}

function watchSignals(): void {
  const { killPoint, report = [] } = config;
  if (killPoint?.at === 'signal') {
    subscribe(`nestjs-durable-events:${killPoint.name}`, (message) => {
      const { handler } = message as { handler?: string };
      if (killPoint.handler === undefined || killPoint.handler === handler) killMyself();
    });
  }
  for (const name of report) {
    subscribe(`nestjs-durable-events:${name}`, (message) => {
      const { handler } = message as { handler?: string };
      tell({ type: 'signal', name, handler });
    });
  }
}

function obey(app: INestApplicationContext): void {
  process.on('message', (command: ShopCommand) => {
    if (command.do === 'release') return release();
    emit(app, command.orders).then(
      () => tell({ type: 'emitted', orders: command.orders }),
      (error: unknown) => tell({ type: 'emit-failed', error: String(error) }),
    );
  });
}

async function main(): Promise<void> {
  // Nobody listens any more: the test run is gone.
  process.on('disconnect', killMyself);
  // What keeps this process alive must be the application, not its parent.
  process.channel?.unref();
  watchSignals();
  const boot = config.onBootFailure === 'close' ? bootAndClose : bootOrExit;
  const app = await boot();
  if (app === undefined) return;
  obey(app);
  process.once('SIGTERM', () => {
    tell({ type: 'closing' });
    if (config.onSigterm === 'close') void app.close().then(() => tell({ type: 'closed' }));
  });
  if (config.onSigterm !== 'close') app.enableShutdownHooks(['SIGTERM'], { useProcessExit: true });
  tell({ type: 'ready' });
}

async function bootOrExit(): Promise<INestApplicationContext> {
  return NestFactory.createApplicationContext(ShopModule);
}

/** What an application does that handles a failed boot itself. */
async function bootAndClose(): Promise<INestApplicationContext | undefined> {
  let app: INestApplicationContext | undefined;
  try {
    app = await NestFactory.create(ShopModule, { abortOnError: false });
    return await app.init();
  } catch (error) {
    tell({ type: 'boot-failed', error: String(error) });
    process.exitCode = 1;
    await app?.close();
    return undefined;
  }
}

await main();
