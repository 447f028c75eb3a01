import { describe, expect, it } from 'vitest';
import { decodeCursor, encodeCursor } from '../../lib/dead-letters/cursor.js';
import {
  toCriteria,
  toCriteriaOfChange,
  type DeadLetterFilter,
} from '../../lib/dead-letters/dead-letter-filter.js';
import { InvalidOptionsError } from '../../lib/errors.js';

const eventId = '01a1fd12-204d-7069-a96d-b00d38f466b9';
const bad = (filter: object) => filter as DeadLetterFilter;

describe('the filter of dead letters', () => {
  it('becomes criteria, without what is undefined', () => {
    const deadFrom = new Date('2026-01-02T03:04:05.678Z');
    expect(toCriteria({ eventId, handler: 'mails', event: undefined, deadFrom })).toStrictEqual({
      eventId,
      handler: 'mails',
      deadFrom: '2026-01-02T03:04:05.678Z',
    });
  });

  it.each([
    [{ hander: 'mails' }, '"deadLetters.hander" is unknown; did you mean "handler"?'],
    [{ eventId: '42' }, '"deadLetters.eventId" is no event id'],
    [{ handler: '' }, '"deadLetters.handler" must be a text'],
    [{ error: '\0' }, '"deadLetters.error" must be a text'],
    [{ event: 7 }, '"deadLetters.event" must be a text'],
    [{ deadFrom: '2026-01-01' }, '"deadLetters.deadFrom" must be a valid Date'],
    [{ deadUntil: new Date(Number.NaN) }, '"deadLetters.deadUntil" must be a valid Date'],
  ])('refuses %j', (filter, message) => {
    expect(() => toCriteria(bad(filter))).toThrow(InvalidOptionsError);
    expect(() => toCriteria(bad(filter))).toThrow(message);
  });

  it.each([{}, { all: undefined }, { all: false }])(
    'refuses a change with %j, which would hit everything',
    (filter) => {
      expect(() => toCriteriaOfChange(bad(filter))).toThrow('"deadLetters.all" must be true');
    },
  );

  it.each([{ handler: undefined }, { event: 'order.placed', handler: undefined, all: true }])(
    'refuses a change with %j, whose key lost its value',
    (filter) => {
      expect(() => toCriteriaOfChange(bad(filter))).toThrow('"deadLetters.handler" is undefined');
    },
  );

  it('takes a change of everything with all: true', () => {
    expect(toCriteriaOfChange({ all: true })).toStrictEqual({});
  });
});

describe('the cursor of a page', () => {
  it('comes back as it was', () => {
    const key = { deadAt: '2026-01-02T03:04:05.678901Z', position: 7, handler: 'Mails.size$1' };
    expect(decodeCursor(encodeCursor(key))).toStrictEqual(key);
  });

  it.each(['', 'x', 'bnVsbA', 'W10'])('refuses %j', (cursor) => {
    expect(() => decodeCursor(cursor)).toThrow('must be the "next" of an earlier page');
  });

  const time = '2026-01-02T03:04:05.678901Z';
  it.each([
    [['no date', 1, 'a']],
    [['1', 1, 'a']],
    [['2026-02-30T00:00:00.000000Z', 1, 'a']],
    [['2026-01-02T03:04:05.678Z', 1, 'a']],
    [[time, 1.5, 'a']],
    [[time, 1, 'h\0']],
    [[time, 1, "h' OR 1"]],
  ])('refuses the forged %j', (parts) => {
    const cursor = Buffer.from(JSON.stringify(parts)).toString('base64url');
    expect(() => decodeCursor(cursor)).toThrow('must be the "next" of an earlier page');
  });
});
