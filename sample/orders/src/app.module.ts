import { Module, type DynamicModule } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { EventsModule } from 'nestjs-durable-events';
import { AppController } from './app.controller.js';
import { FirstOrder } from './demo/first-order.js';
import { MailsModule } from './mails/mails.module.js';
import { OrdersModule } from './orders/orders.module.js';
import { SalesModule } from './sales/sales.module.js';
import { StockModule } from './stock/stock.module.js';
import type { Storage } from './storage/storage.js';

@Module({})
export class AppModule {
  static forRoot(storage: Pick<Storage, 'database' | 'events'>): DynamicModule {
    return {
      module: AppModule,
      imports: [
        TypeOrmModule.forRoot({
          ...storage.database,
          autoLoadEntities: true,
          // Fine for a sample, as is `migrate` below; in production both are done by migrations.
          synchronize: true,
          // Tables of your own that are called orders or sales stay as they are.
          entityPrefix: 'orders_sample_',
          retryAttempts: 1,
        }),
        EventsModule.forRoot({
          namespace: 'orders-sample',
          migrate: true,
          queues: { mail: { concurrency: 5 } },
          ...storage.events,
        }),
        OrdersModule,
        MailsModule,
        StockModule,
        SalesModule,
      ],
      controllers: [AppController],
      providers: [FirstOrder],
    };
  }
}
