import { defineEvent } from 'nestjs-durable-events';
import { z } from 'zod';

export const StockReserved = defineEvent('stock.reserved', {
  schema: z.object({ orderId: z.uuid(), pieces: z.int() }),
  entity: ({ orderId }) => ({ type: 'order', id: orderId }),
});
