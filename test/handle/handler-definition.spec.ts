import {
  defineEvent,
  InvalidHandlerError,
  UnknownQueueError,
  type HandlerOptions,
} from 'nestjs-durable-events';
import { describe, expect, it } from 'vitest';
import { defineHandler, toRegistered } from '../../lib/handle/handler-definition.js';

const defaults = {
  attempts: 5,
  priority: 50,
  timeoutMs: 30_000,
  delayAfter: () => 1_000,
  queues: [
    { queue: 'default', limiter: undefined },
    { queue: 'mail', limiter: undefined },
    { queue: 'slow', limiter: { max: 1, duration: 1_000 } },
  ],
};
const source = {
  place: 'Mails.confirm (in MailModule)',
  defaultId: 'Mails.confirm',
  invoke: async () => {},
};
const OrderPlaced = defineEvent('order.placed');

const define = (options: HandlerOptions, events: (typeof OrderPlaced | string)[] = [OrderPlaced]) =>
  defineHandler({ events, options }, source, defaults);

describe('a handler', () => {
  it('takes what it does not say from the defaults', () => {
    expect(toRegistered(define({}))).toEqual({
      id: 'Mails.confirm',
      aliases: [],
      events: ['order.placed'],
      queue: 'default',
      maxAttempts: 5,
      priority: 50,
      transactional: false,
    });
    const { timeoutMs, delayAfter, definitions } = define({});
    expect(timeoutMs).toBe(30_000);
    expect(delayAfter(1, undefined)).toBe(1_000);
    expect(definitions).toEqual([OrderPlaced]);
  });

  it('overrides each of them', () => {
    const handler = define({
      id: 'mails.order',
      aliases: ['Old.name', 'mails.order'],
      queue: 'mail',
      attempts: 1,
      priority: 1,
      timeout: 0,
      backoff: '2s',
      transactional: true,
    });
    expect(toRegistered(handler)).toEqual({
      id: 'mails.order',
      aliases: ['Old.name'],
      events: ['order.placed'],
      queue: 'mail',
      maxAttempts: 1,
      priority: 1,
      transactional: true,
    });
    expect(handler.timeoutMs).toBe(0);
    expect(handler.delayAfter(1, undefined)).toBe(2_000);
  });

  it('takes an event once, whether it is named or defined', () => {
    expect(define({}, [OrderPlaced, 'order.placed', 'other']).events).toEqual([
      'order.placed',
      'other',
    ]);
  });
});

describe('a handler is refused, with its place,', () => {
  it.each<[string, object, RegExp]>([
    ['an unknown option', { attempt: 3 }, /unknown option "attempt" \(did you mean "attempts"\?\)/],
    ['no attempts', { attempts: 0 }, /attempts is 0/],
    ['a broken number of attempts', { attempts: 1.5 }, /attempts is 1\.5/],
    ['a priority beyond what BullMQ takes', { priority: 2_097_152 }, /priority is 2097152/],
    ['priority 0, which BullMQ takes for none', { priority: 0 }, /priority is 0/],
    ['a timeout that is none', { timeout: 'soon' }, /timeout is "soon"/],
    ['a timeout longer than a timer can wait', { timeout: '30d' }, /timeout is "30d"/],
    ['a backoff that is none', { backoff: { type: 'linear', delay: 1 } }, /backoff is \{/],
    ['an id with other characters', { id: 'a b' }, /"a b" is not a valid handler id/],
    ['an alias with other characters', { aliases: ['a b'] }, /"a b" is not a valid handler id/],
  ])('for %s', (_what, options, message) => {
    expect(() => define(options)).toThrow(InvalidHandlerError);
    expect(() => define(options)).toThrow(message);
    expect(() => define(options)).toThrow(/Mails\.confirm \(in MailModule\)/);
  });

  it('for no event, and for a name that none can have', () => {
    expect(() => define({}, [])).toThrow(/names no event/);
    expect(() => define({}, ['order placed'])).toThrow(/"order placed" is not a valid event name/);
  });

  it('for a queue that is not configured, with the nearest name', () => {
    expect(() => define({ queue: 'mails' })).toThrow(UnknownQueueError);
    expect(() => define({ queue: 'mails' })).toThrow(
      /queue "mails".*did you mean "mail"\?.*Known queues: default, mail, slow/,
    );
  });
});
