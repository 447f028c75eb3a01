import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { InvalidEventDefinitionError } from '../../lib/errors.js';
import { defineEvent } from '../../lib/event/event-definition.js';

describe('defineEvent', () => {
  it('fills in version 1 and the category "domain", and freezes the definition', () => {
    const Ping = defineEvent<{ at: string }>('ping');
    expect(Ping).toEqual({ name: 'ping', version: 1, category: 'domain', schema: undefined });
    expect(Object.isFrozen(Ping)).toBe(true);
  });

  it('keeps what was given', () => {
    const schema = z.object({ orderId: z.string() });
    const OrderPlaced = defineEvent('order.placed', {
      version: 3,
      schema,
      category: 'application',
      key: (data) => data.orderId,
      entity: (data) => ({ type: 'order', id: data.orderId }),
    });
    expect(OrderPlaced).toMatchObject({ version: 3, category: 'application', schema });
    expect(OrderPlaced.key?.({ orderId: 'o1' })).toBe('o1');
    expect(OrderPlaced.entity?.({ orderId: 'o1' })).toEqual({ type: 'order', id: 'o1' });
  });

  it.each(['a', 'order.placed', 'Order_Placed-2:eu/west', '1st', 'x'.repeat(200)])(
    'takes the name %j',
    (name) => {
      expect(defineEvent(name).name).toBe(name);
    },
  );

  it.each([
    '',
    '.order',
    '-x',
    'order placed',
    'größe',
    'a\n',
    'a"b',
    'x'.repeat(201),
    7,
    undefined,
  ])('refuses the name %j', (name) => {
    expect(() => defineEvent(name as string)).toThrow(InvalidEventDefinitionError);
    expect(() => defineEvent(name as string)).toThrow(`Event "${name}"`);
  });

  it.each([0, -1, 1.5, Number.NaN, 1_000_001, '2' as unknown as number])(
    'refuses the version %j',
    (version) => {
      expect(() => defineEvent('order.placed', { version })).toThrow(
        `Event "order.placed": version ${version}`,
      );
    },
  );

  it('refuses a schema that is no Standard Schema', () => {
    const schema = { parse: () => 1 } as never;
    expect(() => defineEvent('order.placed', { schema })).toThrow('not a Standard Schema');
  });

  it('takes a schema that is a function, as arktype makes them', () => {
    const schema = Object.assign(() => true, {
      '~standard': { version: 1, vendor: 'test', validate: (value: unknown) => ({ value }) },
    } as const);
    expect(defineEvent('order.placed', { schema }).schema).toBe(schema);
  });
});
