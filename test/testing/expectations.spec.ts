import { AssertionError } from 'node:assert';
import { Test } from '@nestjs/testing';
import {
  EventsTesting,
  EventsTestingModule,
  type EventsTestingOptions,
} from 'nestjs-durable-events/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { onEvent } from '../support/inline-handler.js';
import { OrderPaid, OrderPlaced } from './events.js';

let events: EventsTesting;
let close: () => Promise<void>;

beforeEach(async () => {
  const module = await Test.createTestingModule({
    imports: [EventsTestingModule.forRoot({ storage: 'memory' })],
    providers: [
      onEvent(OrderPlaced, { id: 'mail' }, ({ data }) => {
        if (data.orderId === 'o2') throw new Error('no such customer');
      }),
      onEvent(OrderPaid, { id: 'idle' }, () => undefined),
    ],
  }).compile();
  events = module.get(EventsTesting);
  close = () => module.close();
});
afterEach(() => close());

/** The text of the failure, which must be an ordinary assertion error. */
function failure(expectation: () => void): string[] {
  try {
    expectation();
  } catch (error) {
    if (error instanceof AssertionError) return error.message.split('\n');
    throw error;
  }
  throw new Error('the expectation did not fail');
}

async function emitThree(): Promise<void> {
  await events.emit(OrderPlaced, { orderId: 'o1', total: 10 });
  await events.emit(OrderPlaced, { orderId: 'o2', total: 20 });
  await events.emit(OrderPaid, { orderId: 'o1' });
}

describe('expectEmitted', () => {
  it('passes for properties, nested matchers and functions', async () => {
    await emitThree();
    events.expectEmitted(OrderPlaced);
    events.expectEmitted('order.placed', { total: 20 });
    events.expectEmitted(OrderPlaced, { orderId: expect.stringMatching(/^o/) as string });
    events.expectEmitted(OrderPlaced, ({ total }) => total > 15, { times: 1 });
    events.expectEmitted(OrderPlaced, undefined, { times: 2 });
    events.expectEmitted(OrderPlaced, (_data, { entity }) => entity?.id === 'o1');
    events.expectNotEmitted(OrderPlaced, { orderId: 'o3' });
  });

  it('prints what was emitted instead, and the nearest miss field by field', async () => {
    await emitThree();
    expect(failure(() => events.expectEmitted(OrderPlaced, { orderId: 'o2', total: 21 }))).toEqual([
      "Expected order.placed with { orderId: 'o2', total: 21 } to be emitted, but it was not.",
      'Emitted were:',
      "  1. order.placed { orderId: 'o1', total: 10 }",
      "  2. order.placed { orderId: 'o2', total: 20 }",
      'and others: order.paid (1).',
      'The nearest is number 2, which differs in:',
      '  total: expected 21, was 20',
    ]);
  });

  it('prints what it expected of a matcher, a function and a number of times', async () => {
    await emitThree();
    const total = expect.any(String) as number;
    const lines = failure(() => events.expectEmitted(OrderPlaced, { total }));
    expect(lines[0]).toBe(
      'Expected order.placed with { total: Any<String> } to be emitted, but it was not.',
    );
    expect(lines).toContain('  total: expected Any<String>, was 10');
    expect(failure(() => events.expectEmitted(OrderPlaced, () => false))[0]).toBe(
      'Expected order.placed that the function accepts to be emitted, but it was not.',
    );
    expect(failure(() => events.expectEmitted(OrderPlaced, undefined, { times: 1 }))[0]).toBe(
      'Expected order.placed to be emitted once, but it was 2 times.',
    );
  });

  it('tells of other events, or that there are none', async () => {
    expect(failure(() => events.expectEmitted(OrderPlaced))).toEqual([
      'Expected order.placed to be emitted, but it was not.',
      'Nothing was emitted.',
    ]);
    await emitThree();
    expect(failure(() => events.expectEmitted('order.shipped'))).toEqual([
      'Expected order.shipped to be emitted, but it was not.',
      'Emitted were: order.placed (2), order.paid (1).',
    ]);
  });
});

it('expectNotEmitted prints the events', async () => {
  await emitThree();
  expect(failure(() => events.expectNotEmitted(OrderPlaced, { total: 10 }))).toEqual([
    'Expected no order.placed with { total: 10 } to be emitted, but it was once:',
    "  1. order.placed { orderId: 'o1', total: 10 }",
  ]);
});

describe('expectDelivered and expectDead', () => {
  it('say why the handler has not run', async () => {
    await emitThree();
    expect(failure(() => events.expectDelivered('mail'))).toEqual([
      'Expected an event to be delivered to mail, but none was.',
      'The handler has not run: await events.drain() first.',
    ]);
    expect(failure(() => events.expectDelivered('mails'))).toEqual([
      'Expected an event to be delivered to mails, but none was.',
      'There is no handler "mails". There are: mail, idle.',
    ]);
  });

  it('print what the handler has run, with its errors', async () => {
    await emitThree();
    await events.drain();
    expect(events.deliveries('mail').map(({ outcome }) => outcome)).toEqual([
      'completed',
      'failed',
    ]);
    events.expectDelivered('mail', { orderId: 'o1' });
    expect(failure(() => events.expectDelivered('mail', { orderId: 'o2' }))).toEqual([
      "Expected an event with { orderId: 'o2' } to be delivered to mail, but none was.",
      'What it has run:',
      "  1. order.placed { orderId: 'o1', total: 10 }: completed, attempt 1",
      "  2. order.placed { orderId: 'o2', total: 20 }: failed, attempt 1: Error: no such customer",
      "Attempts that are left are made by drain({ retries: 'all' }).",
    ]);
    const dead = failure(() => events.expectDead('mail', { orderId: 'o2' }));
    expect(dead[0]).toBe(
      "Expected an event with { orderId: 'o2' } to be a dead letter of mail, but none was.",
    );
    expect(dead.at(-1)).toBe("Attempts that are left are made by drain({ retries: 'all' }).");
    expect(failure(() => events.expectDelivered('mail', { orderId: 'o9', total: 10 }))).toContain(
      "  orderId: expected 'o9', was 'o1'",
    );
    await events.drain({ retries: 'all' });
    events.expectDead('mail', { orderId: 'o2' });
    // Nothing is left to be made.
    expect(failure(() => events.expectDelivered('mail', { orderId: 'o2' })).at(-1)).toContain(
      'dead, attempt 5: Error: no such customer',
    );
  });

  it('say that nothing which the handler takes was emitted, or that it is delayed', async () => {
    await events.emit(OrderPaid, { orderId: 'o1' });
    await events.drain();
    expect(failure(() => events.expectDelivered('mail'))[1]).toBe(
      'The handler has not run: it takes order.placed, which was not emitted.',
    );
    await events.emit(OrderPlaced, { orderId: 'o1', total: 10 }, { delay: '1h' });
    await events.drain();
    expect(failure(() => events.expectDelivered('mail'))[1]).toBe(
      'The handler has not run: what it takes was emitted with a delay. Call advance(…) and drain() first.',
    );
  });

  it('know the handlers of a module that was only compiled', () => {
    expect(failure(() => events.expectDelivered('mails'))[1]).toBe(
      'There is no handler "mails". There are: mail, idle.',
    );
  });
});

describe('an option that is misspelt, or can not be used, passes for nothing', () => {
  it.each<[string, () => unknown]>([
    [
      '"expectEmitted.time" is unknown (its value is 2); did you mean "times"?',
      () => events.expectEmitted(OrderPlaced, undefined, { time: 2 } as never),
    ],
    [
      '"expectEmitted.times" is -1; use a whole number from 0.',
      () => events.expectEmitted(OrderPlaced, undefined, { times: -1 }),
    ],
    [
      '"drain.retry" is unknown (its value is "all"); known are: retries, limit, manager.',
      () => events.drain({ retry: 'all' } as never),
    ],
    ['"drain.limit" is NaN; use a whole number from 1.', () => events.drain({ limit: NaN })],
    [
      '"drain.retries" is "some"; use \'all\' or \'none\'.',
      () => events.drain({ retries: 'some' as never }),
    ],
    ['"advance" is "1 hour"; use milliseconds', () => events.advance('1 hour' as never)],
  ])('%s', async (message, use) => {
    await expect((async () => use())()).rejects.toThrow(message);
  });

  it.each<[string, EventsTestingOptions]>([
    [
      '"moed" is unknown (its value is "inline"); did you mean "mode"?',
      { moed: 'inline' } as never,
    ],
    ['"mode" is "auto"; use', { mode: 'auto' as never }],
    ['"storage" is "sqlite"; use', { storage: 'sqlite' as never }],
    ['"storage" is \'dataSource\', but there is none', { storage: 'dataSource' }],
    ['"dataSource" is \'orders\', but there is none of that name', { dataSource: 'orders' }],
  ])('at boot: %s', async (message, options) => {
    const module = Test.createTestingModule({ imports: [EventsTestingModule.forRoot(options)] });
    await expect(module.compile()).rejects.toThrow(message);
  });
});

it('works on a module that was only compiled', async () => {
  await events.emit(OrderPaid, { orderId: 'o1' });
  expect(await events.drain()).toHaveLength(1);
});
