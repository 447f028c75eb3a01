/**
 * Least time between two wake-ups of one process, in ms: about what a relay pass takes. A process
 * that commits all the time would pay for each with a fifth of what its transaction costs.
 */
export const WAKE_GAP_MS = 5;

/** One side of it, on a connection that is made in the background, and again when it is lost. */
export interface WakeUps {
  start(): void;
  /** Idempotent. */
  close(): Promise<void>;
}

/**
 * Tells the relays of other processes that something was committed, so that they look at once rather
 * than at their next poll. Only a hint, outside of any transaction: it may be lost, and polling finds
 * what it missed.
 */
export interface Announcer extends WakeUps {
  /** Something was committed. Returns at once and never throws; many calls are told as few. */
  wake(): void;
}

/** Hears what {@link Announcer}s of the same namespace tell. */
export type Listener = WakeUps;

/** What announcers and listeners of one namespace meet by: its identity in its database. */
export function channelOf(identity: string): string {
  return `events.wake.${identity}`;
}
