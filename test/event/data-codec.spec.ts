import { describe, expect, it } from 'vitest';
import {
  EventDataTooLargeError,
  EVENTS_ERROR_CODES,
  UnserializableEventDataError,
} from '../../lib/errors.js';
import { checkText, encodeJson } from '../../lib/event/data-codec.js';

const encode = (data: unknown, maxBytes = 1_000_000) =>
  encodeJson('order.placed', 'data', data, maxBytes);

/** The error that encoding the data must throw. */
function refusalOf(data: unknown): UnserializableEventDataError {
  try {
    encode(data);
  } catch (error) {
    if (error instanceof UnserializableEventDataError) return error;
    throw error;
  }
  throw new Error('was not refused');
}

class Decimal {
  constructor(private readonly digits: string) {}
  toJSON(): string {
    return this.digits;
  }
}

class Point {
  constructor(
    readonly x: number,
    readonly y: number,
  ) {}
}

/** An object whose `toJSON` gives this. */
const giving = (json: unknown) => ({ toJSON: () => json });

describe('encodeJson', () => {
  it.each([
    [null],
    [true],
    [0],
    [-1.5],
    [Number.MAX_SAFE_INTEGER],
    [1.5e-7],
    [''],
    ['text with “quotes”, \n and 😀'],
    [[]],
    [[1, [2, [3]]]],
    [{}],
    [{ a: { b: [{ c: null }] } }],
    [{ 'any name': 1, toString: 'own', constructor: 'own', length: 3 }],
  ])('B3: carries %j unchanged', (data) => {
    expect(JSON.parse(encode(data))).toEqual(data);
  });

  it('B3: takes dates as ISO strings, toJSON objects as what they give, and leaves undefined out', () => {
    const data = {
      at: new Date(0),
      price: new Decimal('12.30'),
      none: undefined,
      where: new Point(1, 2),
      bare: Object.assign(Object.create(null) as object, { a: 1 }),
    };
    expect(JSON.parse(encode(data))).toEqual({
      at: '1970-01-01T00:00:00.000Z',
      price: '12.30',
      where: { x: 1, y: 2 },
      bare: { a: 1 },
    });
  });

  it('takes one object that stands in several places', () => {
    const shared = { a: 1 };
    expect(JSON.parse(encode({ x: shared, y: [shared, shared] }))).toEqual({
      x: { a: 1 },
      y: [{ a: 1 }, { a: 1 }],
    });
  });

  const circular: Record<string, unknown> = {};
  circular['list'] = [circular];
  const parent: unknown[] = [];
  parent.push(giving(parent));
  it.each<[row: string, what: string, data: unknown, path: string]>([
    ['B1', 'a NUL in a text', { a: ['x', 'y\0z'] }, 'data.a[1]'],
    ['B1', 'a NUL in a name', { 'k\0': 1 }, 'data["k\\u0000"]'],
    ['B2', 'a lone surrogate in a text', { a: '\uD83D' }, 'data.a'],
    ['B2', 'a lone surrogate in a name', { '\uDE00': 1 }, 'data["\\ude00"]'],
    ['B1', 'a NUL out of a toJSON', { a: giving('\0') }, 'data.a'],
    ['B3', 'NaN', { a: Number.NaN }, 'data.a'],
    ['B3', 'Infinity', [1, Number.NEGATIVE_INFINITY], 'data[1]'],
    ['B3', 'a rounded integer', { a: 2 ** 53 }, 'data.a'],
    ['B3', 'a BigInt', { a: { b: 10n } }, 'data.a.b'],
    ['B3', 'a Map', { a: new Map([[1, 2]]) }, 'data.a'],
    ['B3', 'a Set', { a: new Set([1]) }, 'data.a'],
    ['B3', 'a WeakMap', { a: new WeakMap() }, 'data.a'],
    ['B3', 'an Error', { a: new TypeError('x') }, 'data.a'],
    ['B3', 'a RegExp', { a: /x/ }, 'data.a'],
    ['B3', 'a promise', { a: Promise.resolve(1) }, 'data.a'],
    ['B3', 'an ArrayBuffer', { a: new ArrayBuffer(1) }, 'data.a'],
    ['B3', 'a typed array', { a: new Uint8Array(1) }, 'data.a'],
    ['B3', 'a boxed number', { a: Object(1) as unknown }, 'data.a'],
    ['B3', 'an invalid date', { 'at once': new Date(Number.NaN) }, 'data["at once"]'],
    ['B3', 'undefined itself', undefined, 'data'],
    ['B3', 'undefined in an array', { a: [1, undefined] }, 'data.a[1]'],
    // oxlint-disable-next-line no-sparse-arrays -- that is the case
    ['B3', 'a hole in an array', { a: [1, , 2] }, 'data.a[1]'],
    ['B3', 'a function', { a: () => 1 }, 'data.a'],
    ['B3', 'a symbol', { a: Symbol('s') }, 'data.a'],
    ['B3', 'a name that is a symbol', { [Symbol('s')]: 1 }, 'data'],
    ['B3', 'a toJSON that gives undefined', { a: giving(undefined) }, 'data.a'],
    ['B3', 'a toJSON that gives NaN', { a: giving({ b: Number.NaN }) }, 'data.a.b'],
    ['B3', 'a toJSON that gives a date, which JSON empties', { a: giving(new Date(0)) }, 'data.a'],
    ['B3', 'a toJSON that gives a Map', { a: giving(new Map()) }, 'data.a'],
    [
      'B4',
      'an own __proto__',
      JSON.parse('{"a":{"__proto__":{"admin":true}}}'),
      'data.a.__proto__',
    ],
    ['B3', 'a circle', circular, 'data.list[0]'],
    ['B3', 'a circle through toJSON', { a: parent }, 'data.a[0]'],
  ])('%s: refuses %s and says where', (_row, _what, data, path) => {
    const error = refusalOf(data);
    expect(error.path).toBe(path);
    expect(error.eventName).toBe('order.placed');
    expect(error.code).toBe(EVENTS_ERROR_CODES.UNSERIALIZABLE_DATA);
    expect(error.message).toContain(`"order.placed" can't be stored faithfully: ${path} `);
  });

  it('B3: looks into an object whose toJSON returns itself', () => {
    const self: Record<string, unknown> = { lost: Number.NaN };
    Object.defineProperty(self, 'toJSON', { value: () => self });
    expect(refusalOf({ self }).path).toBe('data.self.lost');
    self['lost'] = 1;
    expect(encode({ self })).toBe('{"self":{"lost":1}}');
  });

  it('refuses nesting that parsers may not take, and takes what is less deep', () => {
    const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);
    expect(() => encode(nested(200))).not.toThrow();
    expect(refusalOf(nested(201)).path).toBe(`data${'[0]'.repeat(200)}`);
    expect(refusalOf(nested(1_000)).path).toBe(`data${'[0]'.repeat(200)}`);
  });

  it('B5: counts bytes, not characters, and takes what fits exactly', () => {
    expect(encode('äää', 8)).toBe('"äää"');
    let error: unknown;
    try {
      encode('äää', 7);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(EventDataTooLargeError);
    expect(error).toMatchObject({ eventName: 'order.placed', bytes: 8, maxBytes: 7 });
    expect((error as Error).message).toContain('maxDataBytes');
  });
});

describe('checkText', () => {
  const check = (text: unknown) => checkText('order.placed', 'key', text);

  it.each(['order-1', '😀', 'x'.repeat(512)])('takes %.9j', (text) => {
    expect(() => check(text)).not.toThrow();
  });

  it.each([
    ['', '1 to 512 characters, not 0'],
    ['x'.repeat(513), '1 to 512 characters, not 513'],
    ['a\0', 'NUL'],
    ['\uD83D', 'surrogate'],
    [42, 'a string, not number'],
    [null, 'a string, not object'],
  ])('refuses %.9j: %s', (text, problem) => {
    expect(() => check(text)).toThrow(UnserializableEventDataError);
    expect(() => check(text)).toThrow(problem);
  });
});
