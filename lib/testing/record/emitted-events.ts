import type { EntitySubscriberInterface, QueryRunner } from 'typeorm';
import { depthOf } from '../../emit/transaction-depth.js';
import type { AppendedEvent, EventStore, OutboxRecord } from '../../store/event-store.js';
import type { TransactionJoin } from '../join/transaction-join.js';
import { toRecordedEvent, type RecordedEvent } from './recorded-event.js';

interface Entry {
  readonly event: RecordedEvent;
  /** Whose open transaction it is in; undefined: it is committed. */
  runner: QueryRunner | undefined;
  /** Which of the transactions in each other, from 1. */
  depth: number;
}

interface HookEvent {
  readonly queryRunner: QueryRunner;
}

/**
 * The events that were emitted, in their order: those that are committed, and those of transactions
 * that are still open, which a rollback takes out again, as it does in the database.
 */
export class EmittedEvents implements EntitySubscriberInterface {
  /** Event id → entry. */
  private readonly entries = new Map<string, Entry>();

  constructor(private readonly join: TransactionJoin) {}

  /** Records what is appended to a store of the kit's own from now on. */
  watch(store: EventStore): void {
    const append = store.append.bind(store);
    store.append = async (records, runner) => {
      const appended = await append(records, runner);
      this.add(records, appended, runner);
      return appended;
    };
  }

  all(): RecordedEvent[] {
    return [...this.entries.values()].map(({ event }) => event);
  }

  clear(): void {
    this.entries.clear();
  }

  afterTransactionCommit({ queryRunner }: HookEvent): void {
    const depth = depthOf(queryRunner);
    for (const entry of this.entries.values()) {
      if (entry.runner !== queryRunner || entry.depth <= depth) continue;
      if (depth > 0) entry.depth = depth;
      else this.put(entry, this.join.parentOf(queryRunner));
    }
  }

  afterTransactionRollback({ queryRunner }: HookEvent): void {
    const depth = depthOf(queryRunner);
    for (const [eventId, entry] of this.entries) {
      if (entry.runner === queryRunner && entry.depth > depth) this.entries.delete(eventId);
    }
  }

  private add(
    records: readonly OutboxRecord[],
    appended: readonly AppendedEvent[],
    runner: QueryRunner | undefined,
  ): void {
    for (const [index, record] of records.entries()) {
      // A store that opens a transaction of its own may have come here before, in that.
      if (appended[index]?.duplicate === true || this.entries.has(record.eventId)) continue;
      const entry: Entry = { event: toRecordedEvent(record), runner: undefined, depth: 0 };
      this.put(entry, runner ?? this.join.current());
      this.entries.set(record.eventId, entry);
    }
  }

  private put(entry: Entry, runner: QueryRunner | undefined): void {
    entry.runner = runner;
    entry.depth = runner === undefined ? 0 : depthOf(runner);
  }
}
