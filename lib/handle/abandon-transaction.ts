import { QueryRunnerAlreadyReleasedError, type QueryRunner } from 'typeorm';

/**
 * Rolls a failed handler's transaction back, for good. The handler may still be at work: past its
 * timeout, or in a branch of a `Promise.all`. What it sends from now on is refused, because after
 * the rollback it would be committed alone, on a connection that is somebody else's by then.
 *
 * Nested transactions that it left open are rolled back too; TypeORM would only end the innermost
 * one, and give the connection back with the others open.
 *
 * @param shared others use this runner too: nothing is refused
 */
export async function abandonTransaction(runner: QueryRunner, shared = false): Promise<void> {
  if (!shared) refuseStatements(runner);
  try {
    while (runner.isTransactionActive) await runner.rollbackTransaction();
  } catch {
    // The connection is gone, and the transaction with it.
  }
}

function refuseStatements(runner: QueryRunner): void {
  const query = runner.query.bind(runner) as (...args: unknown[]) => Promise<unknown>;
  const refuse = () => Promise.reject(new QueryRunnerAlreadyReleasedError());
  Object.assign(runner, {
    query: (text: string, ...rest: unknown[]) =>
      text.startsWith('ROLLBACK') ? query(text, ...rest) : refuse(),
    stream: refuse,
  });
}
