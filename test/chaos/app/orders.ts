import { createHash } from 'node:crypto';
import { defineEvent } from 'nestjs-durable-events';
import { hash, type Prng } from '../prng.js';

/** The data of an event: which order it belongs to, and what shows that it arrived unchanged. */
export interface OrderData {
  orderId: string;
  /** Number of the event within its order, from 0. */
  n: number;
  /** An array, because databases may reorder an object's keys. */
  payload: unknown[];
  checksum: string;
}

export const OrderPlaced = defineEvent<OrderData>('order.placed');
export const OrderFollowed = defineEvent<OrderData>('order.followed');

export const HANDLERS = {
  plain: 'plain',
  tx: 'tx',
  flaky: 'flaky',
  flakyTx: 'flaky-tx',
  follow: 'follow',
} as const;
export const FLAKY: readonly string[] = [HANDLERS.flaky, HANDLERS.flakyTx];
export const TRANSACTIONAL: readonly string[] = [HANDLERS.tx, HANDLERS.flakyTx];
/** Event name → handlers that must get it. */
export const SUBSCRIPTIONS: Readonly<Record<string, readonly string[]>> = {
  'order.placed': [HANDLERS.plain, HANDLERS.tx, ...FLAKY],
  'order.followed': [HANDLERS.follow],
};
export const MAX_ATTEMPTS = 4;
/** What a delivery that can't be helped fails with. */
export const UNRECOVERABLE = 'planned: never';

/** One in fifty is too large to travel in the job. */
const LARGE_TEXT = 'große Daten — 🎲 '.repeat(1_200);

export function makeData(prng: Prng, orderId: string, n: number): OrderData {
  const text = prng.chance(0.02) ? LARGE_TEXT : `"quoted" \\ back ünï 🎈 ${prng.int(0, 1e9)}`;
  const payload = [text, prng.next(), prng.int(-1e15, 1e15), null, true, ['nested', { one: n }]];
  return { orderId, n, payload, checksum: checksum(payload) };
}

export function checksum(payload: unknown): string {
  return createHash('sha256').update(JSON.stringify(payload)).digest('hex').slice(0, 16);
}

export type FlakyPlan = { readonly fails: number; readonly unrecoverable: boolean };

/** How the flaky handlers treat an event: they fail so many attempts first; Infinity is always. */
export function flakyPlan(orderId: string, n: number): FlakyPlan {
  const slot = hash(`flaky/${orderId}/${n}`) % 40;
  if (slot === 0) return { fails: Infinity, unrecoverable: false };
  if (slot === 1) return { fails: Infinity, unrecoverable: true };
  if (slot < 8) return { fails: 1, unrecoverable: false };
  if (slot < 11) return { fails: 2, unrecoverable: false };
  return { fails: 0, unrecoverable: false };
}
