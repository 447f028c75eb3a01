import { Controller, Get } from '@nestjs/common';
import { exampleOrder } from './orders/place-order.schema.js';

@Controller()
export class AppController {
  @Get()
  index(): object {
    return {
      'POST /orders': exampleOrder,
      'GET /orders': 'the latest orders',
      'GET /orders/:id': 'an order, its events, and what became of each of their deliveries',
    };
  }
}
