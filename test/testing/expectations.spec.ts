import { AssertionError } from 'node:assert';
import { Test } from '@nestjs/testing';
import { EventsTesting, EventsTestingModule } from 'nestjs-durable-events/testing';
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
    expect(failure(() => events.expectEmitted(OrderPlaced, { total }))).toContain(
      '  total: expected Any<String>, was 10',
    );
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
      'The handler has not run. 3 emitted events were not delivered: await events.drain() first.',
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
    expect(failure(() => events.expectDead('mail', { orderId: 'o2' }))[0]).toBe(
      "Expected an event with { orderId: 'o2' } to be a dead letter of mail, but none was.",
    );
    expect(failure(() => events.expectDelivered('mail', { orderId: 'o9', total: 10 }))).toContain(
      "  orderId: expected 'o9', was 'o1'",
    );
    await events.drain({ retries: 'all' });
    events.expectDead('mail', { orderId: 'o2' });
  });
});

it('works on a module that was only compiled', async () => {
  await events.emit(OrderPaid, { orderId: 'o1' });
  expect(await events.drain()).toHaveLength(1);
});
