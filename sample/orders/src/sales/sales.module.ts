import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { Sale } from './sale.entity.js';
import { SalesHandler } from './sales.handler.js';

@Module({ imports: [TypeOrmModule.forFeature([Sale])], providers: [SalesHandler] })
export class SalesModule {}
