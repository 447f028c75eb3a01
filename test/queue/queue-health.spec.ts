import { expect, it } from 'vitest';
import { Signals } from '../../lib/observability/signals.js';
import { QueueHealth } from '../../lib/queue/queue-health.js';
import { recordSignals } from '../support/signals.js';

function watched() {
  const signals = new Signals('test');
  return {
    health: new QueueHealth('the queue', signals),
    down: recordSignals(signals, 'queue.unavailable'),
    up: recordSignals(signals, 'queue.available'),
    errors: recordSignals(signals, 'queue.error'),
  };
}

it('an outage is told once, and its end once', () => {
  const { health, down, up } = watched();
  health.up();
  expect(up).toEqual([]);
  const first = new Error('first');
  health.down(first);
  health.down(new Error('second'));
  expect(down).toEqual([{ target: 'the queue', error: first }]);
  health.up();
  health.up();
  expect(up).toEqual([{ target: 'the queue' }]);
  health.down(new Error('third'));
  expect(down).toHaveLength(2);
});

it('a queue that was never reached is an outage too', () => {
  const { health, down, up } = watched();
  health.down(new Error('refused'));
  health.up();
  expect([down.length, up.length]).toEqual([1, 1]);
});

it.each([
  [Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }), true],
  [Object.assign(new Error('read'), { code: 'ECONNRESET' }), true],
  [new Error('Connection is closed.'), true],
  [new Error('Connection terminated unexpectedly'), true],
  [new Error("Stream isn't writeable and enableOfflineQueue options is false"), true],
  [Object.assign(new Error('terminating connection'), { code: '57P01' }), true],
  [new Error('Missing lock for job 7. moveToFinished'), false],
  [new Error('WRONGTYPE Operation against a key'), false],
])('an error of BullMQ is told as what it is: %s', (error, isOutage) => {
  const { health, down, errors } = watched();
  health.report('mail', error);
  expect(down).toEqual(isOutage ? [{ target: 'the queue', error }] : []);
  expect(errors).toEqual(isOutage ? [] : [{ queue: 'mail', error }]);
});
