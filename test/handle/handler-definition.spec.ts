import {
  defineEvent,
  InvalidHandlerError,
  UnknownQueueError,
  type BatchOptions,
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

  it('has jobs of one delivery in a queue with a limiter, which counts jobs', () => {
    expect(toRegistered(define({ queue: 'slow' }))).toMatchObject({ perJob: 1 });
  });

  it.each<[string, BatchOptions, { size: number; waitMs: number }]>([
    ['waits for no others where it does not say so', { size: 1 }, { size: 1, waitMs: 0 }],
    ['waits as long as it says', { size: 1_000, wait: '5s' }, { size: 1_000, waitMs: 5_000 }],
    ['waits for milliseconds', { size: 100, wait: 20 }, { size: 100, waitMs: 20 }],
  ])('with a batch %s; relays are told its size', (_what, batch, settled) => {
    const handler = define({ batch });
    expect(handler.batch).toEqual(settled);
    expect(toRegistered(handler)).toMatchObject({ batchSize: settled.size });
    expect(toRegistered(handler)).not.toHaveProperty('batch');
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

  it.each<[string, unknown, RegExp]>([
    ['no size', {}, /batch is \{\}/],
    ['a size of 0', { size: 0 }, /batch is \{"size":0\}/],
    ['a broken size', { size: 1.5 }, /batch is \{"size":1\.5\}/],
    ['a size that is a text', { size: '100' }, /batch is \{"size":"100"\}/],
    ['more than a thousand', { size: 1_001 }, /batch is \{"size":1001\}/],
    ['a wait that is none', { size: 10, wait: 'soon' }, /"wait":"soon".*waiting at most 5 s/],
    ['a negative wait', { size: 10, wait: -1 }, /"wait":-1.*waiting at most 5 s/],
    [
      'a wait that holds up a shutdown',
      { size: 10, wait: '6s' },
      /"wait":"6s".*waiting at most 5 s/,
    ],
    ['an option it does not know', { size: 10, waits: 1 }, /without "waits"/],
    ['a number in its place', 100, /batch is 100/],
    ['true in its place', true, /batch is true/],
    ['null in its place', null, /batch is null/],
  ])('for a batch with %s', (_what, batch, message) => {
    const options = { batch } as HandlerOptions;
    expect(() => define(options)).toThrow(InvalidHandlerError);
    expect(() => define(options)).toThrow(message);
    expect(() => define(options)).toThrow(/use \{ size: 1 to 1000, wait\?: '20ms' \}/);
  });

  it('for a batch in a queue whose limiter counts single deliveries', () => {
    const options = { batch: { size: 10 }, queue: 'slow' };
    expect(() => define(options)).toThrow(InvalidHandlerError);
    expect(() => define(options)).toThrow(/queue "slow".*Give it a queue without a limiter/);
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
