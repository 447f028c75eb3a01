import type { OperationRecord } from '../operation-store.js';
import type { DeliveryRow, HandlerRow, LogRow, OutboxRow, RelayRow } from './memory.rows.js';

interface Attempt {
  readonly attempt: number;
  readonly epoch: number;
  readonly error: string;
  readonly failedAt: number;
}

/** What the ledger adds up. */
export interface Ledger {
  delivered: number;
  unhandled: number;
  completed: number;
  discarded: number;
}

/**
 * All that one namespace holds, in this process. Each operation of the stores changes it in one go,
 * without an await: nobody sees a half of it.
 */
export class MemoryData {
  /** By `seq`, hence in the order of their emits. */
  readonly outbox = new Map<number, OutboxRow>();
  readonly log = new Map<number, LogRow>();
  /** Idempotency key → the event that owns it. */
  readonly keys = new Map<string, string>();
  readonly handlers = new Map<string, HandlerRow>();
  readonly ledger: Ledger = { delivered: 0, unhandled: 0, completed: 0, discarded: 0 };
  readonly operations = new Map<number, OperationRecord>();
  relay: RelayRow | undefined;
  private readonly byPosition = new Map<number, Map<string, DeliveryRow>>();
  private readonly attemptsOf = new Map<string, Attempt[]>();
  private lastSeq = 0;

  constructor(private readonly clock: () => number) {}

  /** In ms since 1970, as all times here: whole ones, because cursors of pages are ISO 8601. */
  now(): number {
    return Math.floor(this.clock());
  }

  nextSeq(): number {
    return ++this.lastSeq;
  }

  delivery(position: number, handler: string): DeliveryRow | undefined {
    return this.byPosition.get(position)?.get(handler);
  }

  deliveries(): DeliveryRow[] {
    return [...this.byPosition.values()].flatMap((handlers) => [...handlers.values()]);
  }

  /** Of one event, by handler. */
  deliveriesOf(position: number): DeliveryRow[] {
    const rows = [...(this.byPosition.get(position)?.values() ?? [])];
    return rows.toSorted((a, b) => (a.handler < b.handler ? -1 : 1));
  }

  addDelivery(row: DeliveryRow): void {
    const handlers = this.byPosition.get(row.position) ?? new Map<string, DeliveryRow>();
    handlers.set(row.handler, row);
    this.byPosition.set(row.position, handlers);
  }

  removeDelivery({ position, handler }: Pick<DeliveryRow, 'position' | 'handler'>): void {
    this.byPosition.get(position)?.delete(handler);
  }

  /** Failed attempts, in order. */
  attempts(position: number, handler: string): readonly Attempt[] {
    return this.attemptsOf.get(`${position} ${handler}`) ?? [];
  }

  /** One that is there already is left as it is. */
  addAttempt(position: number, handler: string, attempt: Attempt): void {
    const known = this.attempts(position, handler);
    if (known.some((each) => each.attempt === attempt.attempt)) return;
    this.attemptsOf.set(`${position} ${handler}`, [...known, attempt]);
  }

  /** Removes everything: positions begin anew. */
  clear(): void {
    const { outbox, log, keys, handlers, operations, byPosition, attemptsOf } = this;
    for (const rows of [outbox, log, keys, handlers, operations, byPosition, attemptsOf]) {
      rows.clear();
    }
    Object.assign(this.ledger, { delivered: 0, unhandled: 0, completed: 0, discarded: 0 });
    this.relay = undefined;
  }
}
