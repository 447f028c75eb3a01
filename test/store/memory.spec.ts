import type { QueryRunner } from 'typeorm';
import { describe, expect, it } from 'vitest';
import { createMemoryStores } from '../../lib/store/memory/create-memory-stores.js';
import { handler, record } from '../contract/contract-context.js';

const LIMITS = { batchSize: 10, rescueAfterMs: 60_000 };

describe('the memory store', () => {
  it('rejects an operation in a transaction, which it could not roll back', async () => {
    const { events } = createMemoryStores('default');
    const runner = {} as QueryRunner;
    const refused = 'the memory store has no transactions';
    await expect(events.append([record()], runner)).rejects.toThrow(refused);
    await expect(events.complete([], runner)).rejects.toThrow(refused);
    await expect(events.handlers(runner)).rejects.toThrow(refused);
    expect(await events.hasDue()).toBe(false);
  });

  it('goes by the clock that it is given', async () => {
    let now = Date.parse('2024-05-01T00:00:00Z');
    const { events } = createMemoryStores('default', () => now);
    await events.prepare();
    await events.registerHandlers([handler('mails')]);
    await events.append([record({ delayMs: 1_000 })]);
    now += 999;
    expect(await events.hasDue()).toBe(false);
    now += 1;
    expect(await events.relay(LIMITS)).toMatchObject({
      events: [{ occurredAt: '2024-05-01T00:00:00.000Z' }],
    });
  });
});
