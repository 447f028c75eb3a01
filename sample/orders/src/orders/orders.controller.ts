import {
  Body,
  Controller,
  Get,
  HttpStatus,
  Param,
  ParseUUIDPipe,
  Post,
  StandardSchemaValidationPipe,
  UsePipes,
} from '@nestjs/common';
import type { EventHistory } from 'nestjs-durable-events';
import type { Order } from './order.entity.js';
import { OrdersService } from './orders.service.js';
import { placeOrder, type PlaceOrder } from './place-order.schema.js';

@Controller('orders')
@UsePipes(new StandardSchemaValidationPipe())
export class OrdersController {
  constructor(private readonly orders: OrdersService) {}

  @Post()
  place(@Body({ schema: placeOrder }) order: PlaceOrder): Promise<{ id: string; eventId: string }> {
    return this.orders.place(order);
  }

  @Get()
  latest(): Promise<Order[]> {
    return this.orders.latest();
  }

  @Get(':id')
  find(
    @Param('id', new ParseUUIDPipe({ errorHttpStatusCode: HttpStatus.NOT_FOUND })) id: string,
  ): Promise<Order & { timeline: EventHistory[] }> {
    return this.orders.withTimeline(id);
  }
}
