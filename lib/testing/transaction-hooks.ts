import type { EntitySubscriberInterface, QueryRunner } from 'typeorm';

/** What TypeORM tells subscribers of the transactions of a query runner. */
export type TransactionHook = Extract<
  keyof EntitySubscriberInterface,
  `${string}Transaction${string}`
>;

type Listener = (event: object) => unknown;

/** Tells all subscribers, and waits for them, as TypeORM's own query runners do. */
export async function tellSubscribers(runner: QueryRunner, hook: TransactionHook): Promise<void> {
  const { dataSource, manager } = runner;
  const event = { dataSource, connection: dataSource, queryRunner: runner, manager };
  const told = dataSource.subscribers.map(async (subscriber) =>
    (subscriber[hook] as Listener | undefined)?.call(subscriber, event),
  );
  await Promise.all(told);
}
