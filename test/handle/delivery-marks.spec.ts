import { expect, it, vi } from 'vitest';
import { DeliveryMarks } from '../../lib/handle/delivery-marks.js';
import type { Store } from '../../lib/store/store.js';

const away = new Error('the database is away');
const ref = { position: 7, handler: 'mails', epoch: 0 };

/** Marks of a database that is away for so many tries; resolves when the first one has failed. */
async function completing(failures: number) {
  let tries = 0;
  const store = {
    complete: async (refs: readonly unknown[]) => {
      if (++tries <= failures) throw away;
      return refs.map(() => true);
    },
    isInfrastructureError: (error: unknown) => error === away,
  };
  const marks = new DeliveryMarks(store as unknown as Store, 60_000);
  const completed = marks.complete(ref);
  completed.catch(() => undefined);
  await vi.waitFor(() => expect(tries).toBeGreaterThan(0), { interval: 1 });
  return { marks, completed, tries: () => tries };
}

it('a completion that waits for the database is tried once more at the close', async () => {
  const { marks, completed, tries } = await completing(1);
  marks.close();
  expect(await completed).toBe(true);
  expect(tries()).toBe(2);
});

it('is given up after that', async () => {
  const { marks, completed, tries } = await completing(Infinity);
  const before = tries();
  marks.close();
  await expect(completed).rejects.toBe(away);
  expect(tries()).toBe(before + 1);
});
