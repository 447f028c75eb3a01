import { InvalidOptionsError } from '../errors.js';
import { isHandlerId } from '../event/names.js';
import type { DeadLetterKey } from '../store/dead-letter-store.js';

/** Where a page ends, as a text for URLs. */
export function encodeCursor({ deadAt, position, handler }: DeadLetterKey): string {
  return Buffer.from(JSON.stringify([deadAt, position, handler])).toString('base64url');
}

/** @throws InvalidOptionsError for a text that no page gave */
export function decodeCursor(cursor: string): DeadLetterKey {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    const [deadAt, position, handler] = parsed as [unknown, unknown, unknown];
    if (isTime(deadAt) && Number.isSafeInteger(position) && isHandlerId(handler)) {
      return { deadAt, position: position as number, handler: handler as string };
    }
  } catch {
    // Told below.
  }
  throw new InvalidOptionsError('deadLetters.after', 'must be the "next" of an earlier page.');
}

/** To the microsecond, as the database writes it; a day that there is. */
function isTime(text: unknown): text is string {
  if (typeof text !== 'string' || !TIME.test(text)) return false;
  const time = new Date(text);
  return !Number.isNaN(time.getTime()) && time.toISOString().slice(0, 19) === text.slice(0, 19);
}

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;
