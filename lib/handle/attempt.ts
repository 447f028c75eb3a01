import { HandlerTimeoutError, UnrecoverableEventError } from '../errors.js';
import type { HandlerDefinition } from './handler-definition.js';

/** What follows from a failed attempt. */
export type AfterFailure =
  { readonly dead: true; readonly unrecoverable: boolean } | { readonly dead: false };

/** The transition of the state machine for a failed attempt; decides, does nothing. */
export function afterFailure(attempt: number, maxAttempts: number, error: unknown): AfterFailure {
  const unrecoverable = error instanceof UnrecoverableEventError;
  if (unrecoverable || attempt >= maxAttempts) return { dead: true, unrecoverable };
  return { dead: false };
}

/**
 * Runs `work` with a signal that aborts after the handler's timeout; rejects with the reason then,
 * whether the work heeds the signal or not. Whatever is thrown (`null`, a string) rejects as it is.
 *
 * @param shutdown aborts the signal too, but does not reject: the work may still end well. Work that
 *   never ends does not keep the process alive any more then
 * @param work gets the signal only when it asks for it: few handlers do, and it costs
 */
export async function runAttempt(
  handler: Pick<HandlerDefinition, 'id' | 'timeoutMs'>,
  shutdown: AbortSignal,
  work: (signal: () => AbortSignal) => Promise<void>,
): Promise<void> {
  const aborting = new LazyAbort();
  let timer: NodeJS.Timeout | undefined;
  const onShutdown = () => {
    aborting.abort(shutdown.reason);
    timer?.unref();
  };
  shutdown.addEventListener('abort', onShutdown, { once: true });
  const timedOut = new Promise<never>((_resolve, reject) => {
    if (handler.timeoutMs === 0) return;
    timer = setTimeout(() => {
      const error = new HandlerTimeoutError(handler.id, handler.timeoutMs);
      aborting.abort(error);
      reject(error);
    }, handler.timeoutMs);
  });
  if (shutdown.aborted) onShutdown();
  const running = work(() => aborting.signal());
  // After a timeout nobody waits for it any more.
  running.catch(() => undefined);
  try {
    await Promise.race([running, timedOut]);
  } finally {
    clearTimeout(timer);
    shutdown.removeEventListener('abort', onShutdown);
  }
}

/** A signal that is made when somebody asks for it. */
class LazyAbort {
  private controller: AbortController | undefined;
  private reason: { readonly why: unknown } | undefined;

  signal(): AbortSignal {
    if (this.controller === undefined) {
      this.controller = new AbortController();
      if (this.reason !== undefined) this.controller.abort(this.reason.why);
    }
    return this.controller.signal;
  }

  abort(why: unknown): void {
    this.reason ??= { why };
    this.controller?.abort(why);
  }
}
