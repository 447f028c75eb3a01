/** The time now, in ms since 1970, as all times are stored: whole numbers. */
export const NOW = `CAST(round(unixepoch('subsec') * 1000) AS INTEGER)`;

/** A time column as ISO 8601 in UTC. */
export function isoUtc(column: string): string {
  return `strftime('%Y-%m-%dT%H:%M:%fZ', ${column} / 1000.0, 'unixepoch')`;
}

/** The values of a JSON array that is a parameter. */
export const LISTED = '(SELECT value FROM json_each(?))';

/** ISO 8601 in UTC as it is stored. */
export function toTime(iso: string): number {
  return Date.parse(iso);
}
