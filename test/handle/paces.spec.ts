import { describe, expect, it } from 'vitest';
import { Paces } from '../../lib/handle/paces.js';

describe('the pace of a handler', () => {
  it('is unknown until it has run', () => {
    const paces = new Paces();
    paces.record('other', 1);
    expect(paces.fitting('mails', 100)).toBeUndefined();
  });

  it('says how many fit into a time, one at least', () => {
    const paces = new Paces();
    paces.record('mails', 30);
    expect(paces.fitting('mails', 100)).toBe(3);
    expect(paces.fitting('mails', 10)).toBe(1);
  });

  it('follows what changes, and is not led astray by one slow attempt', () => {
    const paces = new Paces();
    paces.record('mails', 1);
    paces.record('mails', 11);
    expect(paces.fitting('mails', 100)).toBe(50);
    for (let n = 0; n < 100; n++) paces.record('mails', 100);
    expect(paces.fitting('mails', 1_000)).toBe(10);
  });

  it('is finite where the clock saw no time pass', () => {
    const paces = new Paces();
    paces.record('mails', 0);
    expect(paces.fitting('mails', 100)).toBe(10_000);
  });
});
