import type { NewOperation, OperationRecord, OperationStore } from '../operation-store.js';
import type { MemoryData } from './memory.data.js';
import { iso } from './memory.rows.js';

/** {@link OperationStore} in the memory of this process. */
export class MemoryOperationStore implements OperationStore {
  constructor(private readonly data: MemoryData) {}

  async start({ kind, target, reason, actor }: NewOperation): Promise<number> {
    const { operations } = this.data;
    const id = operations.size + 1;
    const startedMs = this.data.now();
    operations.set(id, {
      id,
      kind,
      target: JSON.parse(JSON.stringify(target)) as Record<string, unknown>,
      reason,
      actor,
      affected: 0,
      startedAt: iso(startedMs),
      endedAt: null,
    });
    return id;
  }

  async end(id: number): Promise<OperationRecord> {
    const operation = this.data.operations.get(id);
    if (operation === undefined) throw new Error(`there is no operation ${id}`);
    const ended = { ...operation, endedAt: iso(this.data.now()) };
    this.data.operations.set(id, ended);
    return ended;
  }

  async latest(limit: number): Promise<OperationRecord[]> {
    return [...this.data.operations.values()].toReversed().slice(0, limit);
  }
}
