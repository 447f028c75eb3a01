import type { EventsModuleOptions, SignalName } from '../../../lib/index.js';

/** Ids of the shop's two handlers: a plain one and a transactional one. */
export type ShopHandler = 'record' | 'reserve';

/**
 * What a handler does before it writes its effect, a row in `effects`:
 * - `quick`: nothing;
 * - `gated`: waits for the command `release`, then works for 300 ms;
 * - `heeding`: waits until its signal aborts, and throws the reason;
 * - `endless`: never ends, whatever its signal says.
 */
export type ShopWork = 'quick' | 'gated' | 'heeding' | 'endless';

/** Where the process kills itself with SIGKILL, the first time it comes there. */
export type KillPoint =
  /** The caller's transaction has been committed; nothing else has run since. */
  | { readonly at: 'committed' }
  /** The handler has written its effect, and has not returned. */
  | { readonly at: 'effect'; readonly handler: ShopHandler }
  /** The transactional handler's effect has been committed; nothing else has run since. */
  | { readonly at: 'effect-committed' }
  /** The library publishes this signal (of this handler). */
  | { readonly at: 'signal'; readonly name: SignalName; readonly handler?: ShopHandler };

/** Everything a shop process is told, as JSON. */
export interface ShopConfig {
  readonly databaseUrl: string;
  readonly events: EventsModuleOptions;
  readonly importOrder?: 'typeorm-first' | 'events-first';
  readonly work?: Partial<Record<ShopHandler, ShopWork>>;
  readonly killPoint?: KillPoint;
  /** Signals to tell the parent about. */
  readonly report?: readonly SignalName[];
  /** A provider of the application fails here while it boots, after the library's part of it. */
  readonly failIn?: 'factory' | 'onModuleInit' | 'onApplicationBootstrap';
  /**
   * What a SIGTERM does: Nest's shutdown hooks, which end the process themselves (default), or
   * `app.close()` alone, after which the process ends only if nothing keeps it alive.
   */
  readonly onSigterm?: 'hooks' | 'close';
  /** After a failed boot: `exit` as Nest does by default, or `close` the app and wait to end. */
  readonly onBootFailure?: 'exit' | 'close';
}

/** What the parent may ask for. */
export type ShopCommand =
  | { readonly do: 'emit'; readonly orders: readonly string[] }
  /** Lets `gated` handlers go on, now and later. */
  | { readonly do: 'release' };

/** What the process tells. */
export type ShopMessage =
  | { readonly type: 'ready' }
  | { readonly type: 'emitted'; readonly orders: readonly string[] }
  | { readonly type: 'emit-failed'; readonly error: string }
  | { readonly type: 'started'; readonly handler: ShopHandler; readonly order: string }
  | { readonly type: 'aborted'; readonly handler: ShopHandler; readonly order: string }
  | { readonly type: 'failed'; readonly handler: ShopHandler; readonly order: string }
  | { readonly type: 'closing' }
  | { readonly type: 'closed' }
  | { readonly type: 'boot-failed'; readonly error: string }
  | {
      readonly type: 'signal';
      readonly name: SignalName;
      readonly handler: string | undefined;
    };
