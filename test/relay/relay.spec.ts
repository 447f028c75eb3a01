import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Signals } from '../../lib/observability/signals.js';
import type { DeliveryPusher } from '../../lib/relay/delivery-pusher.js';
import { Relay } from '../../lib/relay/relay.js';
import type { EventStore, LoggedEvent, RelayedBatch } from '../../lib/store/event-store.js';

const LIMITS = { batchSize: 500, rescueAfterMs: 60_000 };
const NOTHING: RelayedBatch = { events: [], handlers: [], full: false };

const store = { hasDue: vi.fn(async () => false), relay: vi.fn(async () => NOTHING) };
const fresh = { by: 'this', since: 0, maxAttempts: 1 };
const job = {
  id: 'n-1-mails-0',
  queue: 'default',
  priority: undefined,
  data: { handler: 'mails', deliveries: [{ position: 1, epoch: 0, fresh }] },
};
const pusher = {
  ready: async () => undefined,
  push: vi.fn<DeliveryPusher['push']>(async () => undefined),
  jobsOf: () => [job],
};
const turn = () => new Promise(setImmediate);
/** How often it has looked whether anything is due, and opened a transaction. */
const calls = () => [store.hasDue.mock.calls.length, store.relay.mock.calls.length];

let relay: Relay;
beforeEach(async () => {
  // Only what it waits by after a failure, which must not end by itself.
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  vi.clearAllMocks();
  relay = new Relay(
    store as unknown as EventStore,
    pusher as unknown as DeliveryPusher,
    new Signals('default'),
    LIMITS,
  );
  relay.start();
  await turn();
});
afterEach(async () => {
  await relay.stop();
  vi.useRealTimers();
});

describe('a pass', () => {
  it('opens no transaction where nothing is due: at the start, and at a poll', async () => {
    expect(calls()).toEqual([1, 0]);
    relay.poll();
    await turn();
    expect(calls()).toEqual([2, 0]);
  });

  it('does not look before, where something was committed', async () => {
    relay.wake();
    await turn();
    expect(calls()).toEqual([1, 1]);
    // The hint is used up.
    relay.poll();
    await turn();
    expect(calls()).toEqual([2, 1]);
  });

  it('follows a poll or a wake-up that came while another one ran', async () => {
    let end: (batch: RelayedBatch) => void = () => undefined;
    store.relay.mockImplementationOnce(() => new Promise((resolve) => (end = resolve)));
    relay.wake();
    await turn();
    relay.poll();
    relay.wake();
    end(NOTHING);
    await turn();
    expect(calls()).toEqual([1, 2]);
  });

  it('looks again after a failed one, whatever had hinted at that', async () => {
    store.relay.mockRejectedValueOnce(new Error('no connection'));
    relay.wake();
    await turn();
    expect(calls()).toEqual([1, 1]);
    relay.retryNow();
    await turn();
    expect(calls()).toEqual([2, 1]);
  });

  it('pushes what may have come through as what it then is: a repeat', async () => {
    store.relay.mockResolvedValueOnce({ ...NOTHING, events: [{ position: 1 } as LoggedEvent] });
    pusher.push.mockRejectedValueOnce(new Error('no answer'));
    relay.wake();
    await turn();
    relay.retryNow();
    await turn();
    const pushed = pusher.push.mock.calls.map(([[first]]) => first?.data.deliveries);
    expect(pushed).toEqual([[{ position: 1, epoch: 0, fresh }], [{ position: 1, epoch: 0 }]]);
  });
});
