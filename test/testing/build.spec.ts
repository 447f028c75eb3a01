import {
  defineEvent,
  InvalidEventDataError,
  InvalidHandlerError,
  InvalidOptionsError,
  UnserializableEventDataError,
} from 'nestjs-durable-events';
import { buildContext, buildEvent } from 'nestjs-durable-events/testing';
import type { EntityManager } from 'typeorm';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';

const Booked = defineEvent('booked', {
  version: 2,
  schema: z.object({ id: z.string(), at: z.date(), seats: z.number().default(1) }),
  key: ({ id }) => id,
  entity: ({ id }) => ({ type: 'booking', id }),
});

describe('buildEvent', () => {
  it('makes what a handler gets: checked data out of JSON, key and entity of the definition', () => {
    const event = buildEvent(Booked, { id: 'b1', at: new Date(0) });
    expect(event).toMatchObject({
      name: 'booked',
      version: 2,
      data: { id: 'b1', at: '1970-01-01T00:00:00.000Z', seats: 1 },
      key: 'b1',
      entity: { type: 'booking', id: 'b1' },
      metadata: {},
      position: 1,
      causationId: undefined,
    });
    expect(event.eventId).toMatch(/^[\da-f-]{36}$/);
    expect(event.occurredAt).toBeInstanceOf(Date);
    expect(event.idempotencyKey).toMatch(/^[\da-f-]{36}$/);
  });

  it('takes anything else as given', () => {
    const event = buildEvent(
      Booked,
      { id: 'b1', at: new Date(0) },
      { position: 7, actor: { type: 'user', id: 'u1' }, idempotencyKey: 'mine' },
    );
    expect(event).toMatchObject({ position: 7, actor: { id: 'u1' }, idempotencyKey: 'mine' });
  });

  it('refuses what emit refuses', () => {
    expect(() => buildEvent(Booked, { id: 1 } as never)).toThrow(InvalidEventDataError);
    const Ping = defineEvent<{ at: unknown }>('ping');
    expect(() => buildEvent(Ping, { at: new Map() })).toThrow(UnserializableEventDataError);
  });

  it('says that it can not wait for a schema', () => {
    const Slow = defineEvent('slow', { schema: z.string().refine(async () => true) });
    expect(() => buildEvent(Slow, 'text')).toThrow(InvalidOptionsError);
  });
});

describe('buildContext', () => {
  it('is that of a first attempt', () => {
    const context = buildContext();
    expect(context).toMatchObject({ attempt: 1, maxAttempts: 5, isLastAttempt: false });
    expect(context.signal.aborted).toBe(false);
    expect(() => context.manager).toThrow(InvalidHandlerError);
  });

  it('takes what it is given', () => {
    const manager = {} as EntityManager;
    const context = buildContext({ handlerId: 'a', attempt: 5, manager });
    expect(context).toMatchObject({ handlerId: 'a', isLastAttempt: true });
    expect(context.manager).toBe(manager);
  });
});
