import type { Duration } from '../common/duration.js';
import type { BatchOptions } from './batch-result.js';

/** How long to wait between attempts. */
export interface BackoffConfig {
  /** `fixed`: always `delay`. `exponential`: `delay`, then twice as long each time. */
  type: 'fixed' | 'exponential';
  delay: Duration;
  /** Share of the delay that is left to chance, 0 to 1: with 0.5, half to all of it. Default 0. */
  jitter?: number;
  /** The longest delay. Default `'1h'`. */
  max?: Duration;
}

/**
 * A backoff of your own.
 *
 * @param attempt the attempt that failed, from 1
 * @param error what the handler threw
 */
export type BackoffFunction = (attempt: number, error: unknown) => Duration;

export type Backoff = Duration | BackoffConfig | BackoffFunction;

/** What a handler may set; what it doesn't comes from the module's `defaults`. */
export interface DeliveryOptions {
  /** How often a delivery is tried before it is a dead letter, from 1. */
  attempts?: number;
  backoff?: Backoff;
  /** An attempt that takes longer is aborted and counts as failed; 0: no limit. */
  timeout?: Duration;
  /** Lower is sooner, 1 to 2,097,151; compared within a queue. */
  priority?: number;
}

export interface HandlerOptions extends DeliveryOptions {
  /**
   * The handler's name in the database. Default `ClassName.methodName`. Give one to be free to
   * rename the code. Letters, digits, `.`, `_`, `-`, `:`, `/`, `$`; at most 200.
   */
  id?: string;
  /** Former ids: their waiting deliveries are run by this handler. */
  aliases?: readonly string[];
  /** One of the module's `queues`. Default `default`. */
  queue?: string;
  /**
   * Run in a database transaction together with the delivery's completion: what the handler writes
   * through `context.manager` and what it emits is committed exactly once. Default false.
   */
  transactional?: boolean;
  /**
   * The method gets a list of events instead of one, and may return a {@link BatchResult}; each event
   * keeps its own attempts. Not in a queue with a limiter, which counts single deliveries. Default none.
   */
  batch?: BatchOptions;
}
