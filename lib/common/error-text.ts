/** Default cap of a recorded error text in bytes (UTF-8). */
export const MAX_ERROR_BYTES = 8 * 1024;

/** Credentials in URLs, such as `redis://user:secret@host`. */
const URL_CREDENTIALS = /([a-z][a-z0-9+.-]*:\/\/)[^\s/@]*@/gi;
/** `password=…`, `api_key: …`, `Authorization: Bearer …` and the like. */
const NAMED_SECRET =
  /\b(pass(?:word|wd)?|secret|token|api[-_]?key|authorization)\b(["']?\s*[:=]\s*["']?)(?:(?:bearer|basic)\s+)?[^\s"',;}]+/gi;

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
    .toWellFormed()
    .replace(URL_CREDENTIALS, '$1***@')
    .replace(NAMED_SECRET, '$1$2***');
  return cut(text, maxBytes);
}

function describe(thrown: unknown): string {
  try {
    if (thrown instanceof Error) return thrown.stack ?? `${thrown.name}: ${thrown.message}`;
    if (typeof thrown === 'string') return thrown;
    return `thrown value that is not an Error: ${JSON.stringify(thrown) ?? String(thrown)}`;
  } catch {
    return 'thrown value that has no text';
  }
}

function cut(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= maxBytes) return text;
  const mark = '… (cut)';
  const kept = bytes.subarray(0, maxBytes - Buffer.byteLength(mark)).toString();
  // The cut may have split a character, which then decodes as U+FFFD.
  return kept.replace(/\uFFFD+$/u, '') + mark;
}
