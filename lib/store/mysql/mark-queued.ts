import type { QueryRunner } from 'typeorm';
import type { DeliveryRef } from '../event-store.js';
import { lockOrder } from '../lock-order.js';
import type { Statement } from '../statement.js';
import type { Tables } from '../tables.js';
import { lockQueued, type LockWait } from './deliveries.sql.js';
import { execute } from './mysql.connection.js';

interface Mark<Ref> {
  readonly wait?: LockWait;
  /** Whether a delivery that is queued in the expected epoch, with so many attempts, is marked. */
  accepts(ref: Ref, attempts: number): boolean;
  /** Mark deliveries whose rows are locked, and write down that they were. */
  update(locked: readonly Ref[]): readonly Statement[];
}

/**
 * Marks those deliveries that are queued in the epoch they name, and says of each whether it was: an
 * UPDATE can't return that here, so the rows are locked first. In a transaction of the caller's.
 */
export async function markQueued<Ref extends DeliveryRef>(
  runner: QueryRunner,
  { tables, namespace }: { tables: Tables; namespace: string },
  refs: readonly Ref[],
  mark: Mark<Ref>,
): Promise<boolean[]> {
  const order = lockOrder(refs);
  const sorted = order.map((index) => refs[index] as Ref);
  const locked = await execute<{ ordinal: string; attempts: string }>(
    runner,
    lockQueued(tables, namespace, sorted, mark.wait),
  );
  const marked = new Set<number>();
  const seen = new Set<string>();
  for (const { ordinal, attempts } of locked.toSorted(
    (a, b) => Number(a.ordinal) - Number(b.ordinal),
  )) {
    const index = order[Number(ordinal) - 1] as number;
    const ref = refs[index] as Ref;
    const name = `${ref.position} ${ref.handler}`;
    // Named twice in one call, it is marked once.
    if (seen.has(name) || !mark.accepts(ref, Number(attempts))) continue;
    seen.add(name);
    marked.add(index);
  }
  if (marked.size > 0) {
    const statements = mark.update(refs.filter((_ref, index) => marked.has(index)));
    for (const statement of statements) await execute(runner, statement);
  }
  return refs.map((_ref, index) => marked.has(index));
}
