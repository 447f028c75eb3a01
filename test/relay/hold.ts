import { deferred } from '../support/wait.js';

export interface Held {
  /** The call is under way, and waits. */
  readonly reached: Promise<void>;
  /** Goes on with it. */
  go(): void;
  /** It rejects, as if its answer were lost, or it had not been sent. */
  fail(error: Error): void;
}

type Methods<T> = {
  [K in keyof T]: T[K] extends (...args: never[]) => Promise<unknown> ? K : never;
};
type Method<T> = Methods<T>[keyof T] & string;

/**
 * Makes the next matching call of a method wait, before or after it has done its work: what is
 * between two steps of one process is a place where others can act.
 */
export function hold<T extends object>(
  target: T,
  method: Method<T>,
  {
    after = false,
    when = () => true,
  }: { after?: boolean; when?: (first: unknown, second: unknown) => boolean } = {},
): Held {
  const [reached, release] = [deferred(), deferred()];
  const calls = target as Record<string, (...args: unknown[]) => Promise<unknown>>;
  const real = (calls[method] as (...args: unknown[]) => Promise<unknown>).bind(target);
  const held = async () => {
    reached.resolve();
    await release.promise;
  };
  let done = false;
  calls[method] = async (...args) => {
    if (done || !when(args[0], args[1])) return real(...args);
    done = true;
    if (!after) await held();
    const result = await real(...args);
    if (after) await held();
    return result;
  };
  return {
    reached: reached.promise,
    go: () => release.resolve(),
    fail: (error) => release.reject(error),
  };
}
