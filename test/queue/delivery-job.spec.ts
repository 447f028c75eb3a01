import { describe, expect, it } from 'vitest';
import { jobId, jobPriorities, queueName } from '../../lib/queue/delivery-job.js';
import { DeliveryPusher } from '../../lib/relay/delivery-pusher.js';
import type { LoggedEvent, RegisteredHandler } from '../../lib/store/event-store.js';
import { TestingQueue } from '../../lib/testing/testing-queue.js';

const ref = { position: 7, handler: 'Mails_confirm', epoch: 0, chunk: null };

describe('the job id', () => {
  it('D1: is the same for every push of a delivery in one epoch, and another in the next', () => {
    expect(jobId('shop', ref)).toBe('shop-7-Mails_confirm-0');
    expect(jobId('shop', ref)).toBe(jobId('shop', { ...ref }));
    expect(jobId('shop', { ...ref, epoch: 1 })).toBe('shop-7-Mails_confirm-1');
  });

  it('D1: is the same for all deliveries of a chunk, and no delivery has it for itself', () => {
    const chunked = { ...ref, chunk: 7 };
    expect(jobId('shop', chunked)).toBe(jobId('shop', { ...chunked, position: 8 }));
    expect(jobId('shop', chunked)).not.toBe(jobId('shop', ref));
  });

  it.each(['Mails.confirm', 'a:b', 'a/b', 'a$b', 'x'.repeat(200), 'meta', '0', '12', 'ü'])(
    'holds only what BullMQ allows, whatever the handler is called: %s',
    (handler) => {
      const id = jobId('default', { ...ref, handler });
      expect(id).toMatch(/^[A-Za-z0-9_-]+$/);
      expect(id).not.toMatch(/^\d+$/);
      expect(id.length).toBeLessThan(160);
    },
  );

  it('differs for different handlers, events, epochs and namespaces', () => {
    const handlers = [
      'a.b',
      'a:b',
      'a_b',
      'a/b',
      'a-b',
      `${'x'.repeat(60)}y`,
      `${'x'.repeat(60)}z`,
    ];
    const ids = handlers.flatMap((handler) =>
      ['n', 'm'].flatMap((namespace) =>
        [1, 11].flatMap((position) =>
          [0, 1].map((epoch) => jobId(namespace, { position, handler, epoch, chunk: null })),
        ),
      ),
    );
    expect(new Set(ids).size).toBe(handlers.length * 8);
  });
});

describe('the name of a queue', () => {
  const name = (namespace: string, queue: string, identity = 'f00d') =>
    queueName({ namespace, identity }, queue);

  it('holds all that it depends on', () => {
    expect(name('shop', 'mail')).toBe('events.shop.mail.f00d');
  });

  it('differs wherever namespace, queue or database differ', () => {
    const names = [
      name('a', 'b-c'),
      name('a-b', 'c'),
      name('a_b', 'c'),
      name('a', 'b'),
      name('b', 'a'),
      name('a', 'b', 'beef'),
    ];
    expect(new Set(names).size).toBe(names.length);
  });
});

describe('a job', () => {
  const event: LoggedEvent = {
    position: 7,
    eventId: 'e7',
    name: 'order.placed',
    version: 1,
    category: 'domain',
    data: JSON.stringify({ text: 'ü'.repeat(10) }),
    metadata: null,
    key: null,
    entityType: null,
    entityId: null,
    entityVersion: null,
    actorType: null,
    actorId: null,
    causationId: null,
    correlationId: null,
    occurredAt: '2026-01-01T00:00:00.000Z',
  };
  const handler: RegisteredHandler = {
    id: ref.handler,
    events: [event.name],
    queue: 'mail',
    maxAttempts: 5,
    priority: 50,
    transactional: false,
    aliases: [],
  };
  const jobOf = (of: LoggedEvent, maxInlineBytes: number) =>
    new DeliveryPusher(new TestingQueue(), { namespace: 'n', maxInlineBytes }).rescueJobs(
      [{ ...ref, event: of }],
      [handler],
    )[0];
  const bytes = Buffer.byteLength(event.data);

  it('carries the event up to the limit, counted in bytes', () => {
    expect(jobOf(event, bytes)).toEqual({
      id: 'n-7-Mails_confirm-0',
      queue: 'mail',
      priority: undefined,
      data: { handler: 'Mails_confirm', deliveries: [{ position: 7, epoch: 0, event }] },
    });
  });

  it('B5: carries only a reference above it', () => {
    expect(jobOf(event, bytes - 1)?.data.deliveries).toEqual([{ position: 7, epoch: 0 }]);
  });

  it('B5: counts metadata too', () => {
    const marked = { ...event, metadata: '{"note":"x"}' };
    expect(jobOf(marked, bytes)?.data.deliveries[0]).not.toHaveProperty('event');
  });
});

describe('priorities', () => {
  const handler = (id: string, queue: string, priority: number): RegisteredHandler => ({
    id,
    queue,
    priority,
    aliases: [`${id}.old`],
    events: ['e'],
    maxAttempts: 1,
    transactional: false,
  });

  it('are left out where all handlers of a queue have the same', () => {
    const found = jobPriorities([handler('a', 'mail', 7), handler('b', 'mail', 7)]);
    expect([...found]).toEqual([
      ['a', undefined],
      ['a.old', undefined],
      ['b', undefined],
      ['b.old', undefined],
    ]);
  });

  it('are set for all handlers of a queue where they differ, and for their former ids', () => {
    const found = jobPriorities([
      handler('a', 'mail', 1),
      handler('b', 'mail', 50),
      handler('c', 'default', 9),
    ]);
    expect(Object.fromEntries(found)).toEqual({
      a: 1,
      'a.old': 1,
      b: 50,
      'b.old': 50,
      c: undefined,
      'c.old': undefined,
    });
  });
});
