// Compiled by `npm run typecheck`, never run: each `@ts-expect-error` is a mistake that must not
// compile, everything else must.
import { defineEvent, type DomainEvent } from 'nestjs-durable-events';
import {
  buildEvent,
  EventsTestingModule,
  type EventObserver,
  type EventsTesting,
  type RecordedEvent,
} from 'nestjs-durable-events/testing';
import { z } from 'zod';
import type { Equal, Expect } from './expect.js';

declare const events: EventsTesting;
declare const observer: EventObserver;

const OrderPlaced = defineEvent('order.placed', {
  schema: z.object({
    orderId: z.string(),
    at: z.date(),
    items: z.array(z.object({ sku: z.string(), quantity: z.number() })),
    currency: z.string().default('EUR'),
  }),
});
const Ping = defineEvent<{ at: Date; note?: string }>('ping');

// Data as handlers get it: dates are strings.
events.expectEmitted(OrderPlaced, { at: '2026-01-01', items: [{ sku: 'a' }] }, { times: 2 });
events.expectEmitted(OrderPlaced, ({ items, at }, { eventId }) => {
  const texts: string[] = [at, eventId];
  return items.length === texts.length;
});
events.expectNotEmitted(Ping, { note: 'n' });
events.expectEmitted('anything', { whatever: 1 });
events.expectDelivered('handler', { whatever: 1 });
events.expectDelivered<typeof OrderPlaced>('handler', { orderId: 'o1' });
// @ts-expect-error -- a property that the event does not have
events.expectEmitted(OrderPlaced, { order: 'o1' });
// @ts-expect-error -- of another type
events.expectEmitted(OrderPlaced, { orderId: 1 });
// @ts-expect-error -- a Date is a string by then
events.expectEmitted(OrderPlaced, { at: new Date() });
// @ts-expect-error -- of another type, deep inside
events.expectEmitted(OrderPlaced, { items: [{ quantity: '1' }] });

const [placed] = events.emitted(OrderPlaced);
const [any] = events.emitted();
const built = buildEvent(OrderPlaced, { orderId: 'o1', at: new Date(), items: [] });
const waited = await observer.waitFor(Ping, { handled: true, match: { note: 'n' } });

export type Types = [
  Expect<Equal<NonNullable<typeof placed>['name'], 'order.placed'>>,
  Expect<Equal<NonNullable<typeof placed>['data']['at'], string>>,
  Expect<Equal<NonNullable<typeof any>['name'], string>>,
  Expect<Equal<typeof built, DomainEvent<typeof OrderPlaced>>>,
  Expect<Equal<(typeof waited)['data']['at'], string>>,
];
export const recorded: RecordedEvent | undefined = placed;

// `emit` takes the schema's input.
void events.emit(OrderPlaced, { orderId: 'o1', at: new Date(), items: [] });
// @ts-expect-error -- not the schema's input
void events.emit(OrderPlaced, { orderId: 'o1', at: '2026-01-01', items: [] });
// @ts-expect-error -- no such mode
EventsTestingModule.forRoot({ mode: 'sometimes' });
// @ts-expect-error -- no such outcome of retries
void events.drain({ retries: 'some' });
EventsTestingModule.forRoot({
  mode: 'inline',
  retries: 'all',
  queue: { redis: 'redis://nowhere' },
});
