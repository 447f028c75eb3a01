import { describe, expect, it } from 'vitest';
import { errorText } from '../../lib/common/error-text.js';

describe('errorText', () => {
  it('B7: keeps the stack of an error, and the message where there is none', () => {
    expect(errorText(new TypeError('no such column'))).toMatch(
      /^TypeError: no such column\n\s+at .*error-text\.spec/,
    );
    const bare = new RangeError('too far');
    delete bare.stack;
    expect(errorText(bare)).toBe('RangeError: too far');
  });

  it('B7: removes NUL characters and replaces lone surrogates, which databases refuse', () => {
    expect(errorText('a\0b\0')).toBe('ab');
    const text = errorText('broken \uD83D here');
    expect(text.isWellFormed()).toBe(true);
    expect(text).toBe('broken \uFFFD here');
  });

  it.each([
    ['redis://user:hunter2@cache:6379/0'],
    ['connect to postgres://app:hunter2@db/app failed'],
    ['postgres://app:p@hunter2@db/app'],
    ['password=hunter2 host=db'],
    ['{"password":"hunter2","host":"db"}'],
    ['{"password": "correct hunter2 horse"}'],
    [JSON.stringify({ password: 'a"hunter2' })],
    ["{ apiKey: 'hunter2' }"],
    ['api_key: hunter2'],
    ['DB_PASSWORD=hunter2'],
    ['access_token=hunter2&x=1'],
    ['{"accessToken":"hunter2"}'],
    ['client_secret=hunter2'],
    ['AWS_SECRET_ACCESS_KEY=hunter2'],
    ['Authorization: Bearer hunter2'],
    ['authorization: Basic hunter2'],
    ['pass\0word=hunter2'],
  ])('B7: hides the secret in %j', (text) => {
    expect(errorText(new Error(text))).not.toContain('hunter2');
    expect(errorText(text)).toContain('***');
  });

  it('B7: leaves what is around a secret readable', () => {
    expect(errorText('redis://user:hunter2@cache:6379/0 refused')).toBe(
      'redis://***@cache:6379/0 refused',
    );
    expect(errorText('login failed: password=hunter2, host=db')).toBe(
      'login failed: password=***, host=db',
    );
    const harmless = 'see https://example.com/a@b, 3 tokens left, the secret garden';
    expect(errorText(harmless)).toBe(harmless);
  });

  it('B7: cuts at a byte limit, at whole characters, and says so', () => {
    for (const [text, char] of [
      ['x'.repeat(300), 'x'],
      ['ä'.repeat(300), 'ä'],
      ['€'.repeat(300), '€'],
      ['😀'.repeat(300), '😀'],
    ] as const) {
      for (let limit = 100; limit < 108; limit++) {
        const cut = errorText(text, limit);
        expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(limit);
        expect(cut).toMatch(new RegExp(`^(?:${char})+… \\(cut\\)$`, 'u'));
      }
    }
  });

  it('B7: a text that fits exactly is not cut', () => {
    expect(errorText('ä'.repeat(50), 100)).toBe('ä'.repeat(50));
  });

  it('B7: takes megabytes in its stride', () => {
    // Patterns that walk back would take minutes for these.
    for (const text of ['a'.repeat(2_000_000), 'token '.repeat(400_000), 'a:'.repeat(1_000_000)]) {
      expect(Buffer.byteLength(errorText(text, 1_000_000))).toBeLessThanOrEqual(1_000_000);
    }
  });

  it.each([
    ['null', null, 'null'],
    ['undefined', undefined, 'undefined'],
    ['a number', 42, '42'],
    ['an object', { code: 7 }, '{"code":7}'],
    ['a symbol', Symbol('odd'), 'Symbol(odd)'],
    ['a BigInt', 10n, '10'],
  ])('D10: describes %s that was thrown', (_what, thrown, shown) => {
    expect(errorText(thrown)).toBe(`thrown value that is not an Error: ${shown}`);
  });

  const circular: Record<string, unknown> = {};
  circular['self'] = circular;
  it.each([
    ['a circular object', circular],
    [
      'an object whose toJSON throws',
      {
        toJSON(): never {
          throw new Error('gotcha');
        },
      },
    ],
    [
      'an error whose stack throws',
      Object.defineProperty(new Error('x'), 'stack', {
        get(): never {
          throw new Error('gotcha');
        },
      }),
    ],
    ['an error whose stack is no text', Object.assign(new Error('x'), { stack: { at: 1 } })],
    ['an error whose message is no text', Object.assign(new Error('x'), { message: Symbol('m') })],
    [
      'a proxy that throws at everything',
      new Proxy(
        {},
        {
          get(): never {
            throw new Error('gotcha');
          },
          getPrototypeOf(): never {
            throw new Error('gotcha');
          },
        },
      ),
    ],
  ])('B7: gives a text for %s', (_what, thrown) => {
    const text = errorText(thrown);
    expect(typeof text).toBe('string');
    expect(text).not.toBe('');
  });
});
