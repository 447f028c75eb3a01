import { describe, expect, it } from 'vitest';
import { InvalidOptionsError } from '../../lib/errors.js';
import { tableNames } from '../../lib/store/tables.js';

const quote = (identifier: string) => `"${identifier}"`;
const names = (prefix: unknown, schema?: unknown) =>
  tableNames({ prefix: prefix as string, schema: schema as string | undefined }, quote);

describe('tableNames', () => {
  it('quotes names, with the prefix', () => {
    expect(names('events_')).toEqual({
      outbox: '"events_outbox"',
      log: '"events_log"',
      deliveries: '"events_deliveries"',
      handlers: '"events_handlers"',
      relay: '"events_relay"',
      idempotency: '"events_idempotency"',
      attempts: '"events_attempts"',
      ledger: '"events_ledger"',
      operations: '"events_operations"',
      migrations: '"events_migrations"',
      prefix: 'events_',
      schema: undefined,
    });
  });

  it('qualifies them with the schema', () => {
    expect(names('Bus', 'messaging$1')).toMatchObject({
      outbox: '"messaging$1"."Busoutbox"',
      migrations: '"messaging$1"."Busmigrations"',
    });
  });

  it.each(['a', '_', 'x'.repeat(30), 'A1_'])('takes the prefix %j', (prefix) => {
    expect(names(prefix).log).toBe(`"${prefix}log"`);
  });

  it.each(['', '1a', 'a b', 'a-b', 'a"b', 'ä', 'a$', 'a.b', 'x'.repeat(31), 'a\n', 7])(
    'refuses the prefix %j, naming it',
    (prefix) => {
      expect(() => names(prefix)).toThrow(InvalidOptionsError);
      expect(() => names(prefix)).toThrow(`"tables.prefix" is ${JSON.stringify(prefix)}`);
    },
  );

  it.each(['', '1a', 'a b', 'a-b', 'a"b', 'a.b', 'x'.repeat(64), 'a\n'])(
    'refuses the schema %j, naming it',
    (schema) => {
      expect(() => names('events_', schema)).toThrow(InvalidOptionsError);
      expect(() => names('events_', schema)).toThrow(
        `"tables.schema" is ${JSON.stringify(schema)}`,
      );
    },
  );

  it('leaves room for the longest index name within PostgreSQL’s 63 bytes', () => {
    expect(`${'x'.repeat(30)}operations_latest`.length).toBeLessThanOrEqual(63);
  });
});
