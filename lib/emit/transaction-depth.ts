import type { QueryRunner } from 'typeorm';

/** How many transactions are open in each other; 1 inside the outermost, above that savepoints. */
export function depthOf(runner: QueryRunner): number {
  // TypeORM keeps it in a protected field. Its own commitTransaction() decides by it between COMMIT
  // and RELEASE SAVEPOINT.
  return (runner as unknown as { transactionDepth: number }).transactionDepth;
}

/** Whether the runner's next commit or rollback ends the transaction, not a savepoint. */
export function isOutermost(runner: QueryRunner): boolean {
  return depthOf(runner) <= 1;
}
