// Compiled by `npm run typecheck`, never run: each `@ts-expect-error` is a mistake that must not
// compile, everything else must.
import {
  defineEvent,
  EventHandler,
  type BatchResult,
  type DomainEvent,
  type EventEnvelope,
  type HandlerContext,
  type Serialized,
} from 'nestjs-durable-events';
import { z } from 'zod';
import type { Equal, Expect } from './expect.js';

class Money {
  constructor(readonly cents: number) {}
  toJSON(): { amount: string } {
    return { amount: String(this.cents) };
  }
}

const OrderPlaced = defineEvent('order.placed', {
  schema: z.object({
    orderId: z.string(),
    placedAt: z.date(),
    total: z.string().transform(Number),
    items: z.array(z.object({ sku: z.string(), due: z.date().optional() })),
  }),
});
const OrderPaid = defineEvent('order.paid', { schema: z.object({ amount: z.number() }) });
const Ping = defineEvent<{ at: Date; price: Money; note: string | null }>('ping');

export type Data = [
  // What JSON makes of it: dates are strings in handlers.
  Expect<
    Equal<
      DomainEvent<typeof OrderPlaced>['data'],
      {
        orderId: string;
        placedAt: string;
        total: number;
        items: { sku: string; due?: string | undefined }[];
      }
    >
  >,
  Expect<Equal<DomainEvent<typeof OrderPlaced>['name'], 'order.placed'>>,
  Expect<
    Equal<
      DomainEvent<typeof Ping>['data'],
      { at: string; price: { amount: string }; note: string | null }
    >
  >,
  Expect<Equal<DomainEvent<{ a: Date }>['data'], { a: Date }>>,
  Expect<Equal<DomainEvent['data'], unknown>>,
  Expect<Equal<DomainEvent<typeof Ping>['occurredAt'], Date>>,
  Expect<Equal<DomainEvent<typeof Ping>['idempotencyKey'], string>>,
];

export type Json = [
  Expect<Equal<Serialized<Date>, string>>,
  Expect<Equal<Serialized<Date | null>, string | null>>,
  Expect<Equal<Serialized<Date[]>, string[]>>,
  Expect<Equal<Serialized<readonly [Date, number]>, readonly [string, number]>>,
  Expect<Equal<Serialized<{ a?: Date }>, { a?: string }>>,
  Expect<Equal<Serialized<'a' | 'b'>, 'a' | 'b'>>,
  Expect<Equal<Serialized<string & { readonly brand: 'Id' }>, string & { readonly brand: 'Id' }>>,
  Expect<Equal<Serialized<unknown>, unknown>>,
  Expect<Equal<Serialized<Record<string, Date>>, Record<string, string>>>,
  Expect<Equal<Serialized<{ kind: 'a'; at: Date } | { kind: 'b' }>['kind'], 'a' | 'b'>>,
];

export class Handlers {
  @EventHandler(OrderPlaced)
  whole(event: DomainEvent<typeof OrderPlaced>, context: HandlerContext): void {
    event.data.placedAt.toUpperCase();
    context.signal.throwIfAborted();
  }

  @EventHandler(OrderPlaced)
  async part({ data }: { data: { orderId: string } }): Promise<void> {
    data.orderId.toUpperCase();
  }

  @EventHandler(OrderPlaced)
  nothing(): void {}

  @EventHandler(OrderPlaced, { id: 'with.result' })
  result(_event: DomainEvent<typeof OrderPlaced>): string {
    return 'ignored';
  }

  @EventHandler(OrderPlaced)
  @EventHandler(OrderPlaced, { id: 'again', backoff: { type: 'fixed', delay: '1s' } })
  twice(_event: DomainEvent<typeof OrderPlaced>): void {}

  @EventHandler('order.placed')
  byName(event: DomainEvent<{ orderId: string }>): void {
    event.data.orderId.toUpperCase();
  }

  @EventHandler('order.placed')
  byNameUnknown(event: DomainEvent): void {
    // @ts-expect-error -- what is behind a name only the handler knows
    void event.data.orderId;
  }

  @EventHandler([OrderPlaced, OrderPaid])
  several(event: DomainEvent<typeof OrderPlaced> | DomainEvent<typeof OrderPaid>): void {
    if (event.name === 'order.paid') event.data.amount.toFixed();
    else event.data.orderId.toUpperCase();
    // @ts-expect-error -- not every one of them has an amount
    void event.data.amount;
  }

  @EventHandler([OrderPlaced, OrderPaid] as const)
  union(_event: DomainEvent<typeof OrderPlaced | typeof OrderPaid>): void {}

  @EventHandler([OrderPlaced, 'order.lost'])
  mixed(event: EventEnvelope): void {
    event.name.toUpperCase();
  }

  @EventHandler(['order.lost', 'order.found'])
  names(_event: DomainEvent<{ id: string }>): void {}

  @EventHandler(OrderPlaced, { batch: { size: 100, wait: '20ms' } })
  async batch(
    events: readonly DomainEvent<typeof OrderPlaced>[],
    context: HandlerContext,
  ): Promise<BatchResult> {
    context.signal.throwIfAborted();
    return { failed: events.map((event) => ({ event, error: new Error(event.data.orderId) })) };
  }

  @EventHandler([OrderPlaced, 'order.lost'], { batch: { size: 2 } })
  batchOfNothing(_events: readonly EventEnvelope[]): void {}

  @EventHandler([OrderPlaced])
  listOfOne(_event: DomainEvent<typeof OrderPlaced>): void {}
}

export class WrongHandlers {
  // @ts-expect-error -- another event's data
  @EventHandler(OrderPlaced)
  other(_event: DomainEvent<typeof OrderPaid>): void {}

  // @ts-expect-error -- a date is a string after JSON
  @EventHandler(OrderPlaced)
  dates(_event: { data: { placedAt: Date } }): void {}

  // @ts-expect-error -- there is no such property
  @EventHandler(OrderPlaced)
  missing(_event: { data: { discount: number } }): void {}

  // @ts-expect-error -- the event comes first
  @EventHandler(OrderPlaced)
  order(_context: HandlerContext, _event: DomainEvent<typeof OrderPlaced>): void {}

  // @ts-expect-error -- there is no third parameter
  @EventHandler(OrderPlaced)
  third(_event: unknown, _context: HandlerContext, _more: string): void {}

  // @ts-expect-error -- takes only one of the two
  @EventHandler([OrderPlaced, OrderPaid])
  one(_event: DomainEvent<typeof OrderPlaced>): void {}

  // @ts-expect-error -- no such option
  @EventHandler(OrderPlaced, { attemps: 3 })
  option(): void {}

  // @ts-expect-error -- a batch is a list
  @EventHandler(OrderPlaced, { batch: { size: 2 } })
  batch(_event: DomainEvent<typeof OrderPlaced>): void {}

  // @ts-expect-error -- a list without a batch
  @EventHandler(OrderPlaced)
  list(_events: readonly DomainEvent<typeof OrderPlaced>[]): void {}

  // @ts-expect-error -- names no failures
  @EventHandler(OrderPlaced, { batch: { size: 2 } })
  batchResult(): { failures: [] } {
    return { failures: [] };
  }

  // @ts-expect-error -- how large?
  @EventHandler(OrderPlaced, { batch: { wait: '20ms' } })
  batchWithoutSize(): void {}

  // @ts-expect-error -- not a duration
  @EventHandler(OrderPlaced, { timeout: 'long' })
  timeout(): void {}

  // @ts-expect-error -- neither a definition nor a name
  @EventHandler({ name: 'order.placed' })
  definition(): void {}

  // @ts-expect-error -- not a method
  @EventHandler(OrderPlaced)
  property = 5;
}
