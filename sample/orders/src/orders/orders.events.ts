import { defineEvent } from 'nestjs-durable-events';
import { z } from 'zod';
import { orderItem } from './place-order.schema.js';

export const OrderPlaced = defineEvent('order.placed', {
  schema: z.object({
    orderId: z.uuid(),
    customer: z.email(),
    items: z.array(orderItem),
    total: z.number(),
  }),
  entity: ({ orderId }) => ({ type: 'order', id: orderId }),
});
