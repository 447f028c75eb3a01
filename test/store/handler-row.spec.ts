import { describe, expect, it } from 'vitest';
import { eventsOf, GONE_MS, subscribers, type StoredHandler } from '../../lib/store/handler-row.js';

const NOW = 1_800_000_000_000;

function stored(id: string, seenAgo: number, aliases: string[] = [], events = { e: seenAgo }) {
  const options = { maxAttempts: 5, priority: 50, transactional: false, aliases };
  const stamps = Object.entries(events).map(([name, ago]) => [name, NOW - ago]);
  const handler: StoredHandler = {
    id,
    queue: 'default',
    options,
    lastSeen: NOW - seenAgo,
    events: Object.fromEntries(stamps) as Record<string, number>,
  };
  return handler;
}

const ids = (...list: StoredHandler[]) => subscribers(list).map(({ id }) => id);

describe('the handlers that get deliveries', () => {
  it('of a handler and its former id, the new one while both run', () => {
    expect(ids(stored('new', 0, ['old']), stored('old', 0))).toEqual(['new']);
    expect(ids(stored('old', 0), stored('new', GONE_MS - 1, ['old']))).toEqual(['new']);
  });

  it('the new one where nobody runs at all', () => {
    expect(ids(stored('old', 7 * GONE_MS), stored('new', 6.5 * GONE_MS, ['old']))).toEqual(['new']);
  });

  it('the former one after the deployment was rolled back', () => {
    expect(ids(stored('old', 0), stored('new', GONE_MS + 1, ['old']))).toEqual(['old']);
  });

  it('of two that are each other’s former id, the one seen last, and never none', () => {
    expect(ids(stored('a', 5, ['b']), stored('b', 9, ['a']))).toEqual(['a']);
    expect(ids(stored('a', 9, ['b']), stored('b', 5, ['a']))).toEqual(['b']);
    expect(ids(stored('a', 5, ['b']), stored('b', 5, ['a']))).toHaveLength(1);
  });

  it('all that have nothing to do with each other', () => {
    expect(ids(stored('a', 0), stored('b', 9 * GONE_MS, ['c']))).toEqual(['a', 'b']);
  });
});

describe('the events of a handler', () => {
  it('are those that any living process takes', () => {
    const handler = stored('h', 0, [], { mine: 0, older: 60_000, gone: GONE_MS + 1 } as never);
    expect(eventsOf(handler)).toEqual(['mine', 'older']);
  });

  it('are kept while no process runs', () => {
    const handler = stored('h', 9 * GONE_MS, [], { a: 9 * GONE_MS, b: 9.5 * GONE_MS } as never);
    expect(eventsOf(handler)).toEqual(['a', 'b']);
  });
});
