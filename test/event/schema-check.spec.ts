import type { StandardSchemaV1 } from '@standard-schema/spec';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { InvalidEventDataError } from '../../lib/errors.js';
import { defineEvent } from '../../lib/event/event-definition.js';
import { checkSchema } from '../../lib/event/schema-check.js';

/** A Standard Schema that answers this. */
function answering(
  result: StandardSchemaV1.Result<unknown> | Promise<StandardSchemaV1.Result<unknown>>,
): StandardSchemaV1 {
  return { '~standard': { version: 1, vendor: 'test', validate: () => result } };
}

describe('checkSchema', () => {
  it('returns the data itself where there is no schema', async () => {
    const data = { any: 'thing' };
    expect(await checkSchema(defineEvent('a'), data)).toBe(data);
  });

  it('returns the output of the schema, with defaults and transformations', async () => {
    const schema = z.object({
      id: z.string().trim(),
      currency: z.string().default('EUR'),
      total: z.string().transform(Number),
    });
    const data = { id: ' o1 ', total: '42', extra: true };
    expect(await checkSchema(defineEvent('a', { schema }), data)).toEqual({
      id: 'o1',
      currency: 'EUR',
      total: 42,
    });
  });

  it('waits for a schema that checks asynchronously', async () => {
    const schema = answering(Promise.resolve({ value: 'later' }));
    expect(await checkSchema(defineEvent('a', { schema }), 1)).toBe('later');
  });

  it('names every issue and where it is, but no data', async () => {
    const schema = z.object({
      id: z.string(),
      items: z.array(z.object({ sku: z.string(), price: z.number().max(10) })),
    });
    const data = { id: 7, items: [{ sku: 'A1', price: 5 }, { price: 1234 }] };
    const error = await checkSchema(defineEvent('a', { schema }), data).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(InvalidEventDataError);
    const { eventName, issues, message } = error as InvalidEventDataError;
    expect(eventName).toBe('a');
    expect(issues.map(({ path }) => path)).toEqual(['id', 'items[1].sku', 'items[1].price']);
    expect(message).toContain('items[1].sku: ');
    expect(message).not.toContain('1234');
  });

  it('reads paths of segments and keys, and issues without a path', async () => {
    const schema = answering({
      issues: [
        { message: 'bad', path: [{ key: 'list' }, { key: 0 }, 'name', Symbol('s')] },
        { message: 'all of it is bad' },
      ],
    });
    await expect(checkSchema(defineEvent('a', { schema }), 1)).rejects.toThrow(
      'list[0].name.Symbol(s): bad; all of it is bad',
    );
  });
});
