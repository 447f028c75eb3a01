import { channel } from 'node:diagnostics_channel';
import { Signals } from 'nestjs-durable-events';
import { expect, it, onTestFinished } from 'vitest';
import { recordSignals } from '../support/signals.js';

const MOVED = { events: 1, deliveries: 2, lastPosition: 3 };

it('a listener gets the signals of its name, until it listens no more', () => {
  const signals = new Signals('shop');
  const seen: unknown[] = [];
  const off = signals.on('relay.moved', (message) => seen.push(message));
  signals.publish('relay.moved', MOVED);
  signals.publish('relay.pushed', { deliveries: 2 });
  off();
  signals.publish('relay.moved', MOVED);
  expect(seen).toEqual([MOVED]);
});

it('listeners of two apps hear nothing of each other', () => {
  const one = new Signals('shop');
  const other = new Signals('shop');
  const seen = recordSignals(other, 'relay.moved');
  one.publish('relay.moved', MOVED);
  expect(seen).toEqual([]);
});

it('diagnostics_channel gets them too, with the namespace', () => {
  const seen: unknown[] = [];
  const subscriber = (message: unknown) => void seen.push(message);
  const moved = channel('nestjs-durable-events:relay.moved');
  moved.subscribe(subscriber);
  onTestFinished(() => {
    moved.unsubscribe(subscriber);
  });
  new Signals('shop').publish('relay.moved', MOVED);
  expect(seen).toEqual([{ namespace: 'shop', ...MOVED }]);
});

it('a listener that throws changes nothing for the publisher and the others, and is told', async () => {
  const signals = new Signals('shop');
  const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
  signals.on('relay.moved', () => {
    throw new Error('no disk');
  });
  const seen = recordSignals(signals, 'relay.moved');
  expect(() => signals.publish('relay.moved', MOVED)).not.toThrow();
  expect(seen).toEqual([MOVED]);
  expect((await warned).message).toMatch(/listener of the signal "relay\.moved" threw.*no disk/);
});
