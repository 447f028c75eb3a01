import { defineEvent } from 'nestjs-durable-events';
import { z } from 'zod';

export const OrderPlaced = defineEvent('order.placed', {
  schema: z.object({ orderId: z.string(), total: z.number().default(1) }),
  entity: ({ orderId }) => ({ type: 'order', id: orderId }),
});

export const OrderPaid = defineEvent<{ orderId: string }>('order.paid');
