// The application that smoke-package.mjs builds and runs against the packed library.
import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  defineEvent,
  type DomainEvent,
  EventBus,
  EventHandler,
  EventsModule,
} from 'nestjs-durable-events';
import { DataSource } from 'typeorm';

const databaseUrl = required('DATABASE_URL');
const redisUrl = process.env['REDIS_URL'];

const OrderPlaced = defineEvent<{ orderId: string }>('order.placed');

@Injectable()
class Orders {
  constructor(
    private readonly dataSource: DataSource,
    private readonly events: EventBus,
  ) {}

  async place(orderId: string): Promise<void> {
    await this.dataSource.transaction(async () => {
      await this.events.emit(OrderPlaced, { orderId });
    });
  }
}

@Injectable()
class Mails {
  private sent: (orderId: string) => void = () => {};
  readonly firstSent = new Promise<string>((resolve) => {
    this.sent = resolve;
  });

  @EventHandler(OrderPlaced)
  confirm(event: DomainEvent<typeof OrderPlaced>): void {
    console.log(`handled ${event.name}`);
    this.sent(event.data.orderId);
  }
}

@Module({
  imports: [
    TypeOrmModule.forRoot({ type: 'postgres', url: databaseUrl }),
    EventsModule.forRoot({
      namespace: required('NAMESPACE'),
      queue: redisUrl ? { redis: redisUrl } : { postgres: databaseUrl },
    }),
  ],
  providers: [Orders, Mails],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['warn', 'error'] });
await app.get(Orders).place('42');
const orderId = await app.get(Mails).firstSent;
if (orderId !== '42') throw new Error(`The event's data arrived as ${orderId}`);
// Without process.exit: the process ends by itself, or the library left something open.
await app.close();

function required(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}
