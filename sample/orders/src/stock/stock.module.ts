import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { EventsModule } from 'nestjs-durable-events';
import { Reservation } from './reservation.entity.js';
import { StockReserved } from './stock.events.js';
import { StockHandler } from './stock.handler.js';

@Module({
  imports: [TypeOrmModule.forFeature([Reservation]), EventsModule.forFeature([StockReserved])],
  providers: [StockHandler],
})
export class StockModule {}
