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

export const HANDLERS = { plain: 'plain', tx: 'tx', flaky: 'flaky', follow: 'follow' } as const;
/** Event name → handlers that must get it. */
export const SUBSCRIPTIONS: Readonly<Record<string, readonly string[]>> = {
  'order.placed': [HANDLERS.plain, HANDLERS.tx, HANDLERS.flaky],
  'order.followed': [HANDLERS.follow],
};
export const MAX_ATTEMPTS = 4;

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

/** How the flaky handler treats an event: it fails so many attempts first; Infinity is always. */
export function flakyPlan(orderId: string, n: number): FlakyPlan {
  const slot = hash(`flaky/${orderId}/${n}`) % 40;
  if (slot === 0) return { fails: Infinity, unrecoverable: false };
  if (slot === 1) return { fails: Infinity, unrecoverable: true };
  if (slot < 8) return { fails: 1, unrecoverable: false };
  if (slot < 11) return { fails: 2, unrecoverable: false };
  return { fails: 0, unrecoverable: false };
}

/** The application's own tables. `effects` has no unique constraint: doubles must be visible. */
export const BUSINESS_TABLES = [
  `CREATE TABLE orders (
    id text PRIMARY KEY,
    shape text NOT NULL,
    events integer NOT NULL,
    checksums text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
  )`,
  `CREATE TABLE effects (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    handler text NOT NULL,
    event_id uuid NOT NULL,
    order_id text NOT NULL,
    n integer NOT NULL,
    checksum text NOT NULL,
    intact boolean NOT NULL,
    idempotency_key text NOT NULL,
    attempt integer NOT NULL,
    child text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
  )`,
];
