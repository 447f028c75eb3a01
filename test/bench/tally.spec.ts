import { describe, expect, it } from 'vitest';
import { Tally } from '../../bench/scenarios/tally.js';

describe('Tally', () => {
  it('is done when every handler has had every event', async () => {
    const tally = new Tally(2);
    const all = tally.expect(10, 2);
    for (const n of [10, 11, 10, 11]) tally.count(n);
    await all;
    expect(tally.handled).toBe(4);
    expect(tally.repeats).toBe(0);
  });

  it('does not take a repeat for an event that is missing', async () => {
    const tally = new Tally(1);
    let done = false;
    const all = tally.expect(0, 2).then(() => {
      done = true;
    });
    tally.count(0);
    tally.count(0);
    await Promise.resolve();
    expect(done).toBe(false);
    expect(tally.repeats).toBe(1);
    tally.count(1);
    await all;
  });

  it('does not count events of an earlier run', () => {
    const tally = new Tally(1);
    void tally.expect(100, 5);
    tally.count(99);
    tally.count(105);
    expect(tally.handled).toBe(0);
  });
});
