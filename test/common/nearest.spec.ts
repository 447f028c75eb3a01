import { describe, expect, it } from 'vitest';
import { nearest } from '../../lib/common/nearest.js';

describe('nearest', () => {
  it.each([
    ['inter', ['interval', 'retry'], 'interval'],
    ['intervl', ['interval', 'retry'], 'interval'],
    ['order.placd', ['order.paid', 'order.placed'], 'order.placed'],
    ['ORDER.PLACED', ['order.placed'], 'order.placed'],
    ['pollIntreval', ['pollInterval', 'batchSize'], 'pollInterval'],
    ['banana', ['relay', 'queue'], undefined],
    ['', ['relay'], undefined],
    ['relay', [], undefined],
  ])('finds for %j among %j: %j', (word, candidates, found) => {
    expect(nearest(word, candidates)).toBe(found);
  });

  it('prefers the closer of two', () => {
    expect(nearest('queuse', ['queue', 'quebec', 'queues'])).toBe('queue');
  });
});
