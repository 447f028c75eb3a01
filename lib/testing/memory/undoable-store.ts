import type { QueryRunner } from 'typeorm';
import type { DeliveryRef, EventStore, OutboxRecord } from '../../store/event-store.js';
import type { MemoryData } from '../../store/memory/memory.data.js';
import type { UndoLog } from './undo-log.js';

/**
 * Lets the memory store, which has no transactions, take part in those of the stand-in: what is done
 * with a runner is undone by its rollback. Others see it before the commit already.
 */
export function makeUndoable(
  store: EventStore,
  data: MemoryData,
  logOf: (runner: QueryRunner) => UndoLog,
): void {
  const append = store.append.bind(store);
  const complete = store.complete.bind(store);
  const handlers = store.handlers.bind(store);
  store.append = async (records, runner) => {
    const taken = new Set(data.keys.keys());
    const appended = await append(records);
    if (runner !== undefined) {
      logOf(runner).changed(() => removeEvents(data, records, taken));
    }
    return appended;
  };
  store.complete = async (refs, runner) => {
    const before = refs.map((ref) => ({ ...data.delivery(ref.position, ref.handler) }));
    const completed = await complete(refs);
    if (runner !== undefined) {
      const done = refs.flatMap((ref, index) =>
        completed[index] === true ? [{ ref, row: before[index] ?? {} }] : [],
      );
      logOf(runner).changed(() => takeBack(data, done));
    }
    return completed;
  };
  store.handlers = () => handlers();
}

function removeEvents(
  data: MemoryData,
  records: readonly OutboxRecord[],
  taken: ReadonlySet<string>,
): void {
  const ids = new Set(records.map(({ eventId }) => eventId));
  for (const [seq, { eventId }] of data.outbox) if (ids.has(eventId)) data.outbox.delete(seq);
  for (const { idempotencyKey: key } of records) {
    if (key !== null && !taken.has(key)) data.keys.delete(key);
  }
}

function takeBack(data: MemoryData, done: readonly { ref: DeliveryRef; row: object }[]): void {
  for (const { ref, row } of done) {
    Object.assign(data.delivery(ref.position, ref.handler) ?? {}, row);
    data.ledger.completed--;
  }
}
