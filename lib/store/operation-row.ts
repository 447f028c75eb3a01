import type { OperationKind, OperationRecord } from './operation-store.js';

/** An operation as the dialects' queries return it. */
export interface OperationRow {
  readonly id: string;
  readonly kind: OperationKind;
  readonly target: string;
  readonly reason: string | null;
  readonly actor: string | null;
  readonly affected: string;
  readonly started_at: string;
  readonly ended_at: string | null;
}

export function toOperationRecord(row: OperationRow): OperationRecord {
  return {
    id: Number(row.id),
    kind: row.kind,
    target: JSON.parse(row.target) as Record<string, unknown>,
    reason: row.reason,
    actor: row.actor,
    affected: Number(row.affected),
    startedAt: row.started_at,
    endedAt: row.ended_at,
  };
}
