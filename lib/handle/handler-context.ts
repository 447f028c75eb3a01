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

type Facts = Pick<HandlerContext, 'handlerId' | 'attempt' | 'maxAttempts'> & {
  /** Of several events: whatever fails is tried again alone. */
  readonly shared?: boolean;
};

export function createHandlerContext(
  facts: Facts,
  signal: () => AbortSignal,
  manager: EntityManager | undefined,
): HandlerContext {
  return new Context(facts, signal, manager);
}

/** A class, because one is made for every delivery: objects of their own getters cost far more. */
class Context implements HandlerContext {
  readonly handlerId: string;
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly isLastAttempt: boolean;
  readonly #signal: () => AbortSignal;
  readonly #manager: EntityManager | undefined;

  constructor(
    { handlerId, attempt, maxAttempts, shared = false }: Facts,
    signal: () => AbortSignal,
    manager: EntityManager | undefined,
  ) {
    this.handlerId = handlerId;
    this.attempt = attempt;
    this.maxAttempts = maxAttempts;
    this.isLastAttempt = attempt >= maxAttempts && !shared;
    this.#signal = signal;
    this.#manager = manager;
  }

  get signal(): AbortSignal {
    return this.#signal();
  }

  get manager(): EntityManager {
    if (this.#manager !== undefined) return this.#manager;
    throw new InvalidHandlerError(
      `"${this.handlerId}"`,
      'context.manager needs { transactional: true }.',
    );
  }
}
