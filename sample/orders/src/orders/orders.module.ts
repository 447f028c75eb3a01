import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { EventsModule } from 'nestjs-durable-events';
import { Order } from './order.entity.js';
import { OrdersController } from './orders.controller.js';
import { OrderPlaced } from './orders.events.js';
import { OrdersService } from './orders.service.js';

@Module({
  imports: [TypeOrmModule.forFeature([Order]), EventsModule.forFeature([OrderPlaced])],
  controllers: [OrdersController],
  providers: [OrdersService],
  exports: [OrdersService],
})
export class OrdersModule {}
