/** Resolves after `ms`, or at once when `over` aborts. */
export function pause(ms: number, over?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      over?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    if (over?.aborted === true) return done();
    over?.addEventListener('abort', done, { once: true });
  });
}
