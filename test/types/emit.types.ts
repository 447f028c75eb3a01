// Compiled by `npm run typecheck`, never run: each `@ts-expect-error` is a mistake that must not
// compile, everything else must.
import {
  defineEvent,
  type EmitData,
  type EmitEntry,
  type EmittedEvent,
  type EventBus,
  type EventDefinition,
} from 'nestjs-durable-events';
import type { EntityManager } from 'typeorm';
import { z } from 'zod';
import type { Equal, Expect } from './expect.js';

declare const bus: EventBus;
declare const manager: EntityManager;

const OrderPlaced = defineEvent('order.placed', {
  schema: z.object({
    orderId: z.string(),
    total: z.coerce.number<string | number>(),
    currency: z.string().default('EUR'),
  }),
});
const Ping = defineEvent<{ at: Date; note?: string }>('ping');
const Bare = defineEvent('bare');
const Text = defineEvent<string>('text');

export type Definitions = [
  Expect<Equal<(typeof OrderPlaced)['name'], 'order.placed'>>,
  // `emit` takes the schema's input, handlers get its output.
  Expect<
    Equal<
      EmitData<typeof OrderPlaced>,
      { orderId: string; total: string | number; currency?: string | undefined }
    >
  >,
  Expect<Equal<EmitData<typeof Ping>, { at: Date; note?: string }>>,
  Expect<Equal<EmitData<typeof Bare>, unknown>>,
  Expect<Equal<EmitData<'order.placed'>, unknown>>,
];

/** Functions of a definition get the schema's output. */
export const WithFunctions = defineEvent('with.functions', {
  schema: z.object({ id: z.string(), count: z.string().transform(Number) }),
  key: (data) => data.id,
  entity: (data) => ({ type: 'thing', id: data.id, version: data.count }),
});
export const Wrong = [
  defineEvent('wrong', {
    schema: z.object({ id: z.string() }),
    // @ts-expect-error -- the data has no such property
    key: (data) => data.missing,
  }),
  // @ts-expect-error -- an id is a string
  defineEvent<{ id: number }>('wrong', { entity: (data) => ({ type: 'thing', id: data.id }) }),
  // @ts-expect-error -- no such option
  defineEvent('wrong', { verion: 2 }),
  // @ts-expect-error -- no such category
  defineEvent('wrong', { category: 'other' }),
  // @ts-expect-error -- not a Standard Schema
  defineEvent('wrong', { schema: { parse: () => 1 } }),
];

/** Every definition is an EventDefinition, so that lists of them can be passed on. */
export const all: EventDefinition[] = [OrderPlaced, Ping, Bare, Text, WithFunctions];

export async function emits(): Promise<void> {
  const emitted: EmittedEvent = await bus.emit(OrderPlaced, { orderId: 'o1', total: 42 });
  await bus.emit(OrderPlaced, { orderId: 'o1', total: '42', currency: 'USD' }, { manager });
  await bus.emit(Ping, { at: new Date() });
  await bus.emit(Text, 'hello');
  await bus.emit(Bare, { any: 'thing' });
  await bus.emit('order.placed', { any: 'thing' }, { version: 2, delay: '5m' });
  await bus.emit(Ping, { at: new Date() }, { delay: 1_000, entity: { type: 'a', id: 'b' } });

  // @ts-expect-error -- a property is missing
  await bus.emit(OrderPlaced, { orderId: 'o1' });
  // @ts-expect-error -- a property is of another type
  await bus.emit(OrderPlaced, { orderId: 1, total: 42 });
  // @ts-expect-error -- there is no such property
  await bus.emit(OrderPlaced, { orderId: 'o1', total: 42, discount: 1 });
  // @ts-expect-error -- dates are given as dates
  await bus.emit(Ping, { at: '2024-01-01' });
  // @ts-expect-error -- data is needed
  await bus.emit(Ping);
  // @ts-expect-error -- not this text
  await bus.emit(Text, 5);
  // @ts-expect-error -- no such option
  await bus.emit(Text, 'hello', { idempotencykey: 'k' });
  // @ts-expect-error -- no such unit
  await bus.emit(Text, 'hello', { delay: '5 minutes' });
  // @ts-expect-error -- neither allow nor reject
  await bus.emit(Text, 'hello', { standalone: true });
  // @ts-expect-error -- neither a definition nor a name
  await bus.emit({ name: 'text' }, 'hello');
  // @ts-expect-error -- not a manager
  await bus.emit(Text, 'hello', { manager: {} });
  // @ts-expect-error -- results can't be changed
  emitted.eventId = 'other';
}

export async function emitsMany(): Promise<void> {
  const emitted: EmittedEvent[] = await bus.emitMany([
    [OrderPlaced, { orderId: 'o1', total: 42 }],
    [Ping, { at: new Date() }, { key: 'k' }],
    ['text', { any: 'thing' }],
    [Text, 'hello'],
  ]);
  await bus.emitMany([]);
  await bus.emitMany(emitted.map(({ eventId }) => [Text, eventId]));
  await bus.emitMany(emitted.map(({ eventId }) => [Text, eventId] as const));

  await bus.emitMany([
    [OrderPlaced, { orderId: 'o1', total: 42 }],
    // @ts-expect-error -- the data of the second event is wrong
    [Ping, { at: 'now' }],
  ]);
  await bus.emitMany([
    // @ts-expect-error -- the data belongs to the other event
    [OrderPlaced, { at: new Date() }],
    [Ping, { at: new Date() }],
  ]);
  // @ts-expect-error -- no such option
  await bus.emitMany([[Text, 'hello', { kee: 'k' }]]);
  // @ts-expect-error -- the data is missing
  await bus.emitMany([[Text]]);
  // @ts-expect-error -- not a list of events
  await bus.emitMany([Text, 'hello']);
  // @ts-expect-error -- wrong data in a list that is made
  await bus.emitMany(emitted.map(() => [Text, 5]));
}

/** Entries may be collected before they are emitted. */
export async function collects(): Promise<void> {
  const entries: EmitEntry[] = [];
  entries.push([OrderPlaced, { orderId: 'o1', total: 42 }]);
  entries.push(['text', 5]);
  const pings: EmitEntry<typeof Ping>[] = [[Ping, { at: new Date() }]];
  // @ts-expect-error -- not the data of a ping
  pings.push([Ping, { at: 5 }]);
  await bus.emitMany(entries);
  await bus.emitMany(pings);
  await bus.emitMany([...entries, ...pings]);
}

/** A function over any event keeps data and event together. */
export function forward<Event extends EventDefinition>(event: Event, data: EmitData<Event>) {
  return bus.emit(event, data);
}
void forward(Ping, { at: new Date() });
// @ts-expect-error -- the data is not the event's
void forward(Ping, { at: 5 });

export type Known = [
  Expect<Equal<ReturnType<EventBus['events']>, string[]>>,
  Expect<Equal<ReturnType<EventBus['isRegistered']>, boolean>>,
];
bus.handlersOf(OrderPlaced).map(({ id, local }): [string, boolean] => [id, local]);
bus.handlersOf('order.placed');
// @ts-expect-error -- neither a definition nor a name
bus.isRegistered(5);
