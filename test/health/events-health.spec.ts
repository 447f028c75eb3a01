import { describe, expect, it } from 'vitest';
import { toLedger } from '../../lib/health/events-health.js';
import type { Figures } from '../../lib/store/health-store.js';

const figures = (own: Partial<Figures>): Figures => ({
  delivered: 0,
  unhandled: 0,
  completed: 0,
  discarded: 0,
  dead: 0,
  queued: 0,
  oldestQueuedMs: null,
  outboxDue: 0,
  oldestDueMs: null,
  outboxScheduled: 0,
  lastPosition: 0,
  wipes: 0,
  wipedAt: null,
  ...own,
});

describe('the ledger', () => {
  it('tells by how much it does not add up', () => {
    const own = { delivered: 100, completed: 90, discarded: 1, dead: 2, queued: 4 };
    expect(toLedger(figures(own))).toMatchObject({ ...own, difference: 3 });
    expect(toLedger(figures({ ...own, queued: 9 })).difference).toBe(-2);
  });

  it.each([
    ['queued', { queued: 10, dead: 2 }, { queued: 98, dead: 2 }],
    ['dead', { queued: 2, dead: 10 }, { queued: 2, dead: 98 }],
    ['both', { queued: 10, dead: 10 }, { queued: 10, dead: 10 }],
  ])('derives what is too much to be counted: %s', (_what, counted, told) => {
    const own = { delivered: 1_000, completed: 899, discarded: 1, ...counted };
    expect(toLedger(figures(own), 10)).toStrictEqual({
      delivered: 1_000,
      unhandled: 0,
      completed: 899,
      discarded: 1,
      ...told,
      difference: undefined,
    });
  });
});
