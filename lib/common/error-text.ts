/** Default cap of a recorded error text in bytes (UTF-8). */
export const MAX_ERROR_BYTES = 8 * 1024;

/** Credentials in URLs, such as `redis://user:secret@host`. Bounded: unbounded, it is quadratic. */
const URL_CREDENTIALS = /\b([a-z][a-z0-9+.-]{0,30}:\/\/)[^\s/"']*@/gi;
/** `password=…`, `"accessToken":"…"`, `Authorization: Bearer …` and the like. */
const NAMED_SECRET =
  /(\bpass|password|passwd|secret|token|access[-_]?key|api[-_]?key|authorization)(["']?\s{0,9}[:=]\s{0,9})(?:"(?:[^"\\]|\\.)*"?|'[^']*'?|(?:(?:bearer|basic)\s+)?[^\s"',;}&]+)/gi;

/**
 * Text of anything that was thrown, fit to be stored: no NUL (PostgreSQL refuses it), no lone
 * surrogates, no credentials of the usual shapes, at most `maxBytes`.
 */
export function errorText(thrown: unknown, maxBytes = MAX_ERROR_BYTES): string {
  const raw = describe(thrown);
  // Cut first, generously: the patterns below must not walk through megabytes.
  const text = raw
    .slice(0, maxBytes * 2)
    .replaceAll('\0', '')
    .toWellFormed();
  return cut(hideSecrets(text), maxBytes);
}

/** Replaces credentials of the usual shapes with `***`. */
export function hideSecrets(text: string): string {
  return text.replace(URL_CREDENTIALS, '$1***@').replace(NAMED_SECRET, '$1$2***');
}

function describe(thrown: unknown): string {
  try {
    if (thrown instanceof Error) return describeError(thrown);
    if (typeof thrown === 'string') return thrown;
    const json = typeof thrown === 'bigint' ? undefined : JSON.stringify(thrown);
    return `thrown value that is not an Error: ${json ?? String(thrown)}`;
  } catch {
    return 'thrown value that has no text';
  }
}

function describeError({ stack, name, message }: Error): string {
  // Anything may have been assigned to it.
  return typeof stack === 'string' ? stack : `${name}: ${message}`;
}

function cut(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= maxBytes) return text;
  const mark = '… (cut)';
  const kept = bytes.subarray(0, maxBytes - Buffer.byteLength(mark)).toString();
  // The cut may have split a character, which then decodes as U+FFFD.
  return kept.replace(/\uFFFD+$/u, '') + mark;
}
