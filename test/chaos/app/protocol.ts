import type { DatabaseKind } from '../databases/dialect.js';

/** Where a child can be stopped exactly. */
export const FAILPOINTS = {
  'emit.after-insert': 'emitter',
  'emit.before-commit': 'emitter',
  'relay.after-claim': 'relay',
  'relay.after-commit': 'relay',
  'relay.after-push': 'relay',
  'deliver.before-handler': 'worker',
  'deliver.after-effect': 'worker',
  'deliver.in-transaction': 'worker',
  'deliver.after-completion': 'worker',
} as const satisfies Record<string, Role>;

/**
 * Where a worker stands still in the last attempt of a delivery, until that has died elsewhere and is
 * redriven. Then it fails as planned, or succeeds after all: in the handler, or in a transaction that
 * it begins only now.
 */
export const LATE_POINTS = [
  'deliver.late-failure',
  'deliver.late-success',
  'deliver.late-transaction',
] as const;

export type LatePoint = (typeof LATE_POINTS)[number];
export type Failpoint = keyof typeof FAILPOINTS | LatePoint;
export type FailpointAction = 'kill' | 'pause';
export type Role = 'emitter' | 'relay' | 'worker';

/** What a child is told when it is started. */
export interface ChildSettings {
  readonly name: string;
  readonly role: Role;
  /** Of what this incarnation does by chance. */
  readonly seed: string;
  readonly database: DatabaseKind;
  readonly databaseUrl: string;
  readonly queue: { readonly redis: string } | { readonly postgres: string };
}

/** Supervisor → child. */
export type Command =
  | { readonly type: 'emit'; readonly perSecond: number }
  | { readonly type: 'emit-batch'; readonly count: number }
  | { readonly type: 'stop-emitting' }
  /** Places the order with this id. */
  | { readonly type: 'emit-one'; readonly orderId: string }
  | { readonly type: 'arm'; readonly failpoint: Failpoint; readonly action: FailpointAction }
  | { readonly type: 'disarm' }
  /** What an operator does with all dead letters. */
  | { readonly type: 'operate'; readonly action: 'redrive' | 'discard' };

/** Child → supervisor. Failpoints are told on a pipe of their own, see below. */
export type Report =
  | { readonly type: 'ready' }
  | { readonly type: 'idle'; readonly transactions: number }
  /** Something was seen that no fault excuses. */
  | { readonly type: 'breach'; readonly what: string };

/** The pipe on which a child says `<failpoint> <action>` right before it stops there. */
export const HITS_FD = 4;
/** What it says there when it goes on after a pause. */
export const GOES_ON = 'goes on';

/** Times that make recovery quick, and their relations those of the defaults. */
export const TIMES = {
  pollMs: 200,
  rescueAfterMs: 3_000,
  rescueIntervalMs: 1_000,
  lockMs: 2_500,
  backoffMs: 50,
  shutdownMs: 5_000,
} as const;
