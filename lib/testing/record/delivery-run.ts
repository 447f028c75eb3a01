/** What became of an attempt. `failed`: there will be another one; `dead`: there will be none. */
export type RunOutcome = 'completed' | 'failed' | 'dead';

/** The event of a delivery, as the handler got it. */
export interface DeliveredEvent {
  readonly eventId: string;
  readonly name: string;
  readonly version: number;
  readonly data: unknown;
}

/** An attempt to deliver an event to a handler. */
export interface DeliveryRun {
  readonly handler: string;
  readonly event: DeliveredEvent;
  readonly outcome: RunOutcome;
  /** Its number, from 1. */
  readonly attempt: number;
  /** What the handler threw; undefined where it completed. */
  readonly error: unknown;
}
