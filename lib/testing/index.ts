export { EventsTestingModule } from './events-testing.module.js';
export type {
  AdvanceOptions,
  DrainOptions,
  EventsTestingOptions,
  ExpectEmittedOptions,
  TestingMode,
  TestingStorage,
} from './events-testing.options.js';
export { EventsTesting } from './events-testing.js';
export type { EventMatch } from './events-testing.js';
export type { Retries } from './drain.js';
export type { Partially } from './expect/match.js';
export type { DeliveredEvent, DeliveryRun, RunOutcome } from './record/delivery-run.js';
export type { DataOf, EventRef, Recorded, RecordedEvent } from './record/recorded-event.js';
export { DrainBlockedError, DrainLimitError } from './testing.errors.js';

export { buildContext, buildEvent } from './build.js';
export type { ContextOverrides, EventOverrides } from './build.js';
export { EventObserver, observeEvents } from './observe-events.js';
export type { Observed, WaitForOptions } from './observe-events.js';
