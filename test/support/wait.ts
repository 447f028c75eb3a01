import { setTimeout as delay } from 'node:timers/promises';
import { inspect } from 'node:util';

const INTERVAL_MS = 10;

/**
 * Asks until the probe resolves to something truthy. Only for conditions without a signal.
 *
 * @throws what was awaited and what the probe last returned or threw
 */
export async function eventually<T>(
  probe: () => T | Promise<T>,
  { timeout = 30_000, what }: { timeout?: number; what: string },
): Promise<NonNullable<T>> {
  const deadline = Date.now() + timeout;
  for (;;) {
    const seen = await attempt(probe);
    if ('value' in seen && seen.value) return seen.value;
    if (Date.now() >= deadline) {
      throw new Error(`Not within ${timeout} ms: ${what}. Last seen: ${describe(seen)}`, {
        cause: 'error' in seen ? seen.error : undefined,
      });
    }
    await delay(INTERVAL_MS);
  }
}

export interface Deferred<T> {
  promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

/** A promise to be settled from outside. */
export function deferred<T = void>(): Deferred<T> {
  let resolve!: Deferred<T>['resolve'];
  let reject!: Deferred<T>['reject'];
  const promise = new Promise<T>((resolvePromise, rejectPromise) => {
    resolve = resolvePromise;
    reject = rejectPromise;
  });
  return { promise, resolve, reject };
}

type Seen<T> = { value: T } | { error: unknown };

async function attempt<T>(probe: () => T | Promise<T>): Promise<Seen<T>> {
  try {
    return { value: await probe() };
  } catch (error) {
    return { error };
  }
}

function describe(seen: Seen<unknown>): string {
  return 'error' in seen ? String(seen.error) : inspect(seen.value);
}
