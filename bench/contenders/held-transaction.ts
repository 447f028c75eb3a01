/**
 * Runs a transaction up to its commit, and leaves the moment of that to the caller.
 *
 * @param transact opens the transaction, writes, awaits `hold()`, and commits
 * @returns commits; resolves when that is done
 */
export async function heldTransaction(
  transact: (hold: () => Promise<void>) => Promise<unknown>,
): Promise<() => Promise<void>> {
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  let written: () => void = () => undefined;
  const writing = new Promise<void>((resolve) => {
    written = resolve;
  });
  const transaction = transact(() => {
    written();
    return released;
  });
  await Promise.race([writing, transaction]);
  return async () => {
    release();
    await transaction;
  };
}
