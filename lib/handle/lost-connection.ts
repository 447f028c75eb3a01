import { EventEmitter } from 'node:events';
import type { QueryRunner } from 'typeorm';

/** The connection of a transactional handler was lost while the handler ran. */
export class ConnectionLost extends Error {
  constructor(override readonly cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(
      `The connection of the handler's transaction was lost while the handler ran: ${reason}. If it ` +
        `happens each time, the handler may be why: do slow work outside of its transaction.`,
    );
    this.name = 'ConnectionLost';
  }
}

/** Why a connection was lost, while it is watched. */
export interface ConnectionWatch {
  /** `undefined` while it is there, as far as this process knows. */
  lost(): Error | undefined;
  stop(): void;
}

/**
 * Watches a runner's connection, from before its first use. Drivers tell a loss once, to whoever
 * listens: the next statement only fails because there is no connection.
 */
export async function watchConnection(runner: QueryRunner): Promise<ConnectionWatch> {
  const connection = (await runner.connect()) as unknown;
  // A database in this process has no connection to lose.
  if (!(connection instanceof EventEmitter)) {
    return { lost: () => undefined, stop: () => undefined };
  }
  // TypeORM releases a runner whose connection is lost; nothing else has had this one yet.
  let lost = runner.isReleased ? new Error('it was lost before the first statement') : undefined;
  const listener = (error: Error) => {
    lost ??= error;
  };
  connection.on('error', listener);
  return {
    lost: () => lost,
    stop: () => connection.removeListener('error', listener),
  };
}
