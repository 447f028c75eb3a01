import type { EntityManager } from 'typeorm';
import { InvalidHandlerError } from '../errors.js';

/** What a handler is told about its delivery. */
export interface HandlerContext {
  readonly handlerId: string;
  /** This attempt, from 1. */
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly isLastAttempt: boolean;
  /** Aborts at the timeout, and when the process runs out of time to shut down. */
  readonly signal: AbortSignal;
  /** The transaction's manager. @throws InvalidHandlerError unless the handler is `transactional` */
  readonly manager: EntityManager;
}

export function createHandlerContext(
  facts: Omit<HandlerContext, 'manager' | 'isLastAttempt' | 'signal'>,
  signal: () => AbortSignal,
  manager: EntityManager | undefined,
): HandlerContext {
  return {
    ...facts,
    isLastAttempt: facts.attempt >= facts.maxAttempts,
    get signal() {
      return signal();
    },
    get manager() {
      if (manager !== undefined) return manager;
      throw new InvalidHandlerError(
        `"${facts.handlerId}"`,
        'context.manager needs { transactional: true }.',
      );
    },
  };
}
