import type { Stores } from '../store.js';
import { MemoryData } from './memory.data.js';
import { MemoryDeadLetterStore } from './memory.dead-letters.js';
import { MemoryHealthStore } from './memory.health.js';
import { MemoryOperationStore } from './memory.operations.js';
import { MemoryEventStore } from './memory.store.js';

export interface MemoryStores extends Stores {
  /**
   * Brings everything that waits for a time nearer by so many ms: delayed events, next attempts,
   * rescues. What has happened keeps its time, as in a database (see `bringForward`).
   */
  advance(ms: number): void;
}

/**
 * Stores that hold one namespace in the memory of this process, for tests without a database: the
 * same states, positions, epochs and keys as in one, but no transactions.
 *
 * @param now the clock, in ms since 1970
 */
export function createMemoryStores(
  namespace: string,
  now: () => number = () => Date.now(),
): MemoryStores {
  return memoryStoresOn(new MemoryData(now), namespace);
}

/** The same on data that others may use too. */
export function memoryStoresOn(data: MemoryData, namespace: string): MemoryStores {
  return {
    events: new MemoryEventStore(data, namespace),
    deadLetters: new MemoryDeadLetterStore(data),
    operations: new MemoryOperationStore(data),
    health: new MemoryHealthStore(data),
    advance: (ms) => bringForward(data, Math.round(ms)),
  };
}

function bringForward(data: MemoryData, ms: number): void {
  for (const row of data.outbox.values()) {
    if (row.scheduledAt !== null) row.scheduledAt -= ms;
  }
  for (const row of data.deliveries()) {
    if (row.status !== 'queued') continue;
    if (row.retryAt !== null) row.retryAt -= ms;
    if (row.rescueAt !== null) row.rescueAt -= ms;
  }
}
