import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { DuplicateEventError, UnknownEventError } from '../../lib/errors.js';
import { defineEvent } from '../../lib/event/event-definition.js';
import { EventRegistry } from '../../lib/event/event-registry.js';

const schema = z.object({ id: z.string() });

describe('EventRegistry', () => {
  it('lists all known names once, sorted', () => {
    const registry = new EventRegistry();
    registry.register(defineEvent('b'));
    registry.register(defineEvent('b', { version: 2 }));
    registry.register(defineEvent('a'));
    registry.registerName('c');
    registry.registerName('a');
    expect(registry.names()).toEqual(['a', 'b', 'c']);
    expect(registry.isRegistered('c')).toBe(true);
    expect(registry.isRegistered('d')).toBe(false);
    expect(registry.isRegistered('toString')).toBe(false);
  });

  it('takes one definition twice, and a second call of defineEvent that says the same', () => {
    const registry = new EventRegistry();
    const definition = defineEvent('a', { schema });
    registry.register(definition);
    registry.register(definition);
    registry.register(defineEvent('a', { schema }));
    expect(registry.names()).toEqual(['a']);
  });

  it.each([
    ['schema', defineEvent('a', { schema: z.object({ id: z.string() }) })],
    ['category', defineEvent('a', { schema, category: 'application' })],
    ['key', defineEvent('a', { schema, key: ({ id }) => id })],
    ['entity', defineEvent('a', { schema, entity: ({ id }) => ({ type: 'a', id }) })],
  ])('refuses a second definition with another %s, naming event and version', (_what, other) => {
    const registry = new EventRegistry();
    registry.register(defineEvent('a', { schema }));
    expect(() => registry.register(other)).toThrow(DuplicateEventError);
    expect(() => registry.register(other)).toThrow('"a" version 1 is defined twice');
  });

  it('resolves a name to its newest version, or to the one asked for', () => {
    const registry = new EventRegistry();
    const first = defineEvent('a', { schema });
    const tenth = defineEvent('a', { version: 10 });
    const second = defineEvent('a', { version: 2 });
    for (const definition of [first, tenth, second]) registry.register(definition);
    expect(registry.resolve('a')).toBe(tenth);
    expect(registry.resolve('a', 2)).toBe(second);
    expect(registry.resolve('a', 1)).toBe(first);
    // Defined elsewhere: without a schema here.
    expect(registry.resolve('a', 7)).toMatchObject({ name: 'a', version: 7, schema: undefined });
  });

  it('resolves a name that is only handled, without a schema', () => {
    const registry = new EventRegistry();
    registry.registerName('a');
    expect(registry.resolve('a')).toMatchObject({ name: 'a', version: 1, schema: undefined });
    expect(registry.resolve('a', 4)).toMatchObject({ version: 4 });
  });

  it('refuses an unknown name, with the nearest known one', () => {
    const registry = new EventRegistry();
    registry.register(defineEvent('order.placed'));
    const thrown = (name: string) => {
      try {
        return registry.resolve(name);
      } catch (error) {
        return error;
      }
    };
    expect(thrown('order.place')).toBeInstanceOf(UnknownEventError);
    expect(thrown('order.place')).toMatchObject({
      eventName: 'order.place',
      suggestion: 'order.placed',
      message: expect.stringContaining('did you mean "order.placed"?') as string,
    });
    expect(thrown('invoice')).toMatchObject({
      suggestion: undefined,
      message: expect.not.stringContaining('did you mean') as string,
    });
  });
});
