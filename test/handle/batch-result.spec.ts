import { describe, expect, it } from 'vitest';
import { failuresOf } from '../../lib/handle/batch-result.js';

const GOT = new Set(['e1', 'e2', 'e3']);

describe('what a batch handler returns', () => {
  it.each([[undefined], [null]])('%s: all is handled', (returned) => {
    expect(failuresOf(returned, GOT)).toEqual(new Map());
  });

  it('is nothing, with an empty list', () => {
    expect(failuresOf({ failed: [] }, GOT)).toEqual(new Map());
  });

  it('names what has failed, and why', () => {
    const error = new Error('no');
    const failed = [
      { event: { eventId: 'e1' }, error },
      { event: { eventId: 'e3' }, error: 'closed' },
    ];
    expect([...failuresOf({ failed }, GOT)]).toEqual([
      ['e1', error],
      ['e3', 'closed'],
    ]);
  });

  it('may leave out why, or name an event twice', () => {
    const failed = [{ event: { eventId: 'e1' } }, { event: { eventId: 'e1' }, error: 'closed' }];
    expect([...failuresOf({ failed }, GOT)]).toEqual([['e1', 'closed']]);
    expect([...failuresOf({ failed: failed.slice(0, 1) }, GOT)]).toEqual([['e1', undefined]]);
  });

  it.each<[string, unknown]>([
    ['an array', [{ eventId: 'e1' }]],
    ['true', true],
    ['a text', 'ok'],
    ['a number', 0],
    ['an object of another kind', { ok: true }],
    ['a result whose list is none', { failed: new Set() }],
  ])('is refused where it is %s, and told what it may be', (_what, returned) => {
    expect(() => failuresOf(returned, GOT)).toThrow(TypeError);
    expect(() => failuresOf(returned, GOT)).toThrow(
      /returned .*Return nothing, or \{ failed: \[\{ event, error \}\] \}/,
    );
  });

  it.each<[string, unknown]>([
    ['no entry', null],
    ['an entry without an event', { error: 'no' }],
    ['an event without an id', { event: {}, error: 'no' }],
    ['an event itself', { eventId: 'e1' }],
    ['an event that it did not get', { event: { eventId: 'e9' }, error: 'no' }],
  ])('is refused where it names %s as failed', (_what, failure) => {
    expect(() => failuresOf({ failed: [failure] }, GOT)).toThrow(TypeError);
    expect(() => failuresOf({ failed: [failure] }, GOT)).toThrow(
      /that it did not get.*\{ event, error \}/,
    );
  });
});
