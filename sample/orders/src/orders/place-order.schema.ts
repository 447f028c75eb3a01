import { z } from 'zod';

export const orderItem = z.strictObject({
  sku: z.string().regex(/^[\w-]{1,40}$/),
  quantity: z.int().min(1).max(1_000),
  price: z.number().min(0).max(100_000).multipleOf(0.01),
});

export const placeOrder = z.strictObject({
  customer: z.email().max(200),
  items: z.array(orderItem).min(1).max(100),
  /** Throws after the event was emitted, to see that neither order nor event is saved. */
  fail: z.boolean().default(false),
});

export type OrderItem = z.infer<typeof orderItem>;
export type PlaceOrder = z.infer<typeof placeOrder>;

export const exampleOrder = {
  customer: 'ada@example.com',
  items: [{ sku: 'A1', quantity: 2, price: 5 }],
};
