import { expect, describe, it } from 'vitest';
import type { NewOperation } from '../../lib/store/operation-store.js';
import type { ContractContext } from './contract-context.js';

/** Of tests that look at what an operation does. */
export const OPERATION: NewOperation = { kind: 'discard', target: {}, reason: null, actor: null };

export function describeOperations(context: ContractContext): void {
  describe('the book of operations', () => {
    it('keeps what was asked, by whom and why, to the letter', async () => {
      const { operations } = (await context.bus()).stores;
      const asked: NewOperation = {
        kind: 'redrive',
        target: { error: `100% 'quoted' \\ "größe" 🚚`, all: true },
        reason: 'größe 🚚 \\ ',
        actor: "O'Hara",
      };
      const id = await operations.start(asked);
      const [open] = await operations.latest(1);
      expect(open).toMatchObject({ ...asked, id, affected: 0, endedAt: null });
      const ended = await operations.end(id);
      expect(ended).toMatchObject({ ...asked, id, startedAt: open!.startedAt });
      expect(Date.parse(ended.endedAt!)).toBeGreaterThanOrEqual(Date.parse(ended.startedAt));
    });

    it('has the newest first, as many as asked, of its namespace', async () => {
      const { operations } = (await context.bus()).stores;
      const ids = [];
      for (let n = 0; n < 3; n++) ids.push(await operations.start(OPERATION));
      expect((await operations.latest(2)).map(({ id }) => id)).toEqual([ids[2], ids[1]]);
      expect(await (await context.bus()).stores.operations.latest(9)).toEqual([]);
    });
  });
}
