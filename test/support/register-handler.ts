import type { DataSource } from 'typeorm';
import { parseDuration, type Duration } from '../../lib/common/duration.js';
import { sql } from './database.js';

const DAY_MS = 86_400_000;

interface Remembered {
  readonly ago?: Duration;
  readonly aliases?: string[];
  readonly event?: string;
}

/**
 * A handler as a process leaves it in the database that had it once, and is gone.
 *
 * @param options.ago when it was last seen
 */
export async function registerHandler(
  dataSource: DataSource,
  namespace: string,
  id: string,
  { ago = 0, aliases = [], event = 'happened' }: Remembered = {},
): Promise<void> {
  const options = { maxAttempts: 5, priority: 50, transactional: true, aliases };
  // The database runs on this machine: its clock is ours.
  const seen = Date.now() - parseDuration(ago)!;
  const time = (at: number) => () => sql.instant(new Date(at).toISOString());
  await dataSource.sql`
    INSERT INTO events_handlers (namespace, id, events, queue, options, first_seen_at, last_seen_at)
    VALUES (${namespace}, ${id}, ${JSON.stringify({ [event]: seen })}, 'default',
      ${JSON.stringify(options)}, ${time(seen - DAY_MS)}, ${time(seen)})`;
}
