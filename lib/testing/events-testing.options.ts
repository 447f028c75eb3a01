import type { EntityManager } from 'typeorm';
import type { EventsModuleOptions } from '../events.options.js';
import type { Retries } from './drain.js';

/**
 * When handlers run. `manual`: in `drain()`. `inline`: right after the outermost commit, which waits
 * for them and rejects with their errors. `off`: never; events are checked and saved.
 */
export type TestingMode = 'manual' | 'inline' | 'off';

/** Where events are kept. `dataSource`: the application's own. `memory`: in this process. */
export type TestingStorage = 'dataSource' | 'memory';

/**
 * Options of `EventsTestingModule.forRoot()`. What the application gives `EventsModule` holds where
 * nothing else is given here; its queue, relay, workers and `migrate` don't count.
 */
export interface EventsTestingOptions extends EventsModuleOptions {
  /** When handlers run. Default `manual`. */
  mode?: TestingMode;
  /**
   * Where events are kept. Default: the application's DataSource, or memory where it has none. With
   * `memory`, a stand-in is provided as the DataSource: it has transactions, and nothing else.
   */
  storage?: TestingStorage;
  /**
   * Default of `drain()`, and what inline mode does: with `all`, failed attempts are repeated at once.
   * Default `none`.
   */
  retries?: Retries;
  /**
   * Default: a new one for each application, so that tests on one database meet no events of each
   * other; its rows are deleted when the application is closed.
   */
  namespace?: string;
}

export interface DrainOptions {
  /** `all`: attempts that wait for their backoff are made too. Default: the module's `retries`. */
  retries?: Retries;
  /** Attempts at most, against handlers that emit their own event. Default 1,000. */
  limit?: number;
  /** Drain in this manager's open transaction. Default: the active transaction, if there is one. */
  manager?: EntityManager;
}

export interface AdvanceOptions {
  /** As in {@link DrainOptions}. */
  manager?: EntityManager;
}

export interface ExpectEmittedOptions {
  /** Exactly so many. Default: at least one. */
  times?: number;
}
