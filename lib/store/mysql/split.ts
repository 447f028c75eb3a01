import { writtenBytes } from './sql-text.js';

/**
 * Bytes of parameters in one statement, as they are written into it, and rows: with the text around
 * them well within the smallest `max_allowed_packet` in use (4 MiB).
 */
const MAX_BYTES = 2 * 1024 * 1024;
const MAX_ROWS = 1_000;

/**
 * Splits items into parts that fit into one statement each, in their order. One that is too large
 * even alone is left to the server to refuse.
 *
 * @param texts those of an item
 */
export function split<Item>(
  items: readonly Item[],
  texts: (item: Item) => readonly unknown[],
): readonly Item[][] {
  if (items.length <= 1) return items.map((item) => [item]);
  const parts: Item[][] = [];
  let bytes = 0;
  for (const item of items) {
    const size = texts(item).reduce<number>((sum, text) => sum + writtenBytes(text), 0);
    const part = parts.at(-1);
    if (part === undefined || part.length === MAX_ROWS || bytes + size > MAX_BYTES) {
      parts.push([item]);
      bytes = size;
    } else {
      part.push(item);
      bytes += size;
    }
  }
  return parts;
}
