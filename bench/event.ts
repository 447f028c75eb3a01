/** The data of every event here: about 300 bytes as JSON. */
export interface OrderData {
  /** Counts from 0, so that every event can be told from every other. */
  readonly n: number;
  readonly orderId: string;
  readonly customer: { readonly id: string; readonly email: string; readonly country: string };
  readonly lines: readonly {
    readonly sku: string;
    readonly quantity: number;
    readonly price: number;
  }[];
  readonly total: number;
  readonly placedAt: string;
}

export const EVENT_NAME = 'order.placed';

/** The same data for the same number, for every contender. */
export function makeData(n: number): OrderData {
  return {
    n,
    orderId: `order-${String(n).padStart(12, '0')}`,
    customer: { id: `customer-${n % 1_000}`, email: `c${n % 1_000}@shop.example`, country: 'NL' },
    lines: [
      { sku: 'book-42', quantity: 1, price: 19.95 },
      { sku: 'lamp-7', quantity: 2, price: 34.5 },
    ],
    total: 88.95,
    placedAt: '2026-01-31T12:34:56.789Z',
  };
}

/** Numbers from `from` on, in chunks. */
export function* chunksOf(from: number, count: number, size: number): Generator<OrderData[]> {
  for (let start = from; start < from + count; start += size) {
    const length = Math.min(size, from + count - start);
    yield Array.from({ length }, (_, index) => makeData(start + index));
  }
}
