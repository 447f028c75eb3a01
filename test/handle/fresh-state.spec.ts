import { expect, it } from 'vitest';
import { FRESH_MS, freshState } from '../../lib/handle/fresh-state.js';
import { THIS_PROCESS } from '../../lib/queue/delivery-job.js';
import type { JobDelivery, TakenJob } from '../../lib/queue/event-queue.js';
import type { LoggedEvent } from '../../lib/store/event-store.js';

const SINCE = 1_000_000;
const event = { position: 7, eventId: 'e' } as LoggedEvent;
const ref = { position: 7, handler: 'mails', epoch: 0 };
const fresh = { by: THIS_PROCESS, since: SINCE, maxAttempts: 5 };
const delivery: JobDelivery = { position: 7, epoch: 0, event, fresh };

const stateOf = (asked = delivery, now = SINCE, earlierRuns = 0, rescueAfterMs = 60_000) =>
  freshState(ref, asked, { earlierRuns } as TakenJob, rescueAfterMs, now);

it('is known of a delivery that has just been made', () => {
  const state = { ...ref, eventId: 'e', chunk: null, status: 'queued', attempts: 0 };
  expect(stateOf()).toEqual({ ...state, maxAttempts: 5 });
  expect(stateOf(delivery, SINCE + FRESH_MS - 1)).toBeDefined();
});

it.each([
  ['was not made by a relay pass for it alone', stateOf({ position: 7, epoch: 0, event })],
  ['has its event in the log only', stateOf({ position: 7, epoch: 0, fresh })],
  ['is old enough to have been retried', stateOf(delivery, SINCE + FRESH_MS)],
  ['is old enough to have been rescued', stateOf(delivery, SINCE + 10, 0, 10)],
  [
    'another process has made: clocks differ',
    stateOf({ ...delivery, fresh: { ...fresh, by: 'other' } }),
  ],
  ['was run before', stateOf(delivery, SINCE, 1)],
])('must be read of a delivery that %s', (_why, state) => {
  expect(state).toBeUndefined();
});
