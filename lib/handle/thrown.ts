/**
 * What a handler threw, fit to be looked at: itself, or an error in its place where the mere look
 * at its name, message or stack throws (a proxy, a getter). A failure must not fail to be recorded.
 */
export function harmless(thrown: unknown): unknown {
  try {
    if (thrown instanceof Error) [thrown.name, thrown.message, thrown.stack].join('');
    return thrown;
  } catch {
    return new Error('what the handler threw throws itself when it is looked at');
  }
}
