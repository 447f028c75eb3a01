import type { Figures, HealthStore } from '../health-store.js';
import type { MemoryData } from './memory.data.js';
import { isDue } from './memory.outbox.js';
import { isoOrNull } from './memory.rows.js';

/** {@link HealthStore} in the memory of this process. */
export class MemoryHealthStore implements HealthStore {
  constructor(private readonly data: MemoryData) {}

  async figures(limit: number): Promise<Figures> {
    const { data } = this;
    if (data.relay === undefined) throw new Error("the namespace's row is gone");
    const now = data.now();
    const deliveries = data.deliveries();
    const queued = deliveries.filter(({ status }) => status === 'queued');
    const dead = deliveries.filter(({ status }) => status === 'dead');
    const outbox = [...data.outbox.values()];
    const due = outbox.filter((row) => isDue(row, now));
    const age = (times: readonly number[]) =>
      times.length === 0 ? null : Math.max(0, now - Math.min(...times));
    const most = (rows: readonly unknown[]) => Math.min(rows.length, limit);
    return {
      ...data.ledger,
      dead: most(dead),
      queued: most(queued),
      oldestQueuedMs: age(queued.map(({ queuedAt }) => queuedAt)),
      outboxDue: most(due),
      oldestDueMs: age(due.map(({ scheduledAt, createdAt }) => scheduledAt ?? createdAt)),
      outboxScheduled: Math.min(outbox.length - due.length, limit),
      lastPosition: data.relay.lastPosition,
      wipes: data.relay.queueWipes,
      wipedAt: isoOrNull(data.relay.queueWipedAt),
    };
  }
}
