import { setTimeout as delay } from 'node:timers/promises';
import type { System } from './system.js';

const EVERY_MS = 200;

export interface Quiet {
  readonly ms: number;
  /** What still moved when the time was over; undefined: it is quiet. */
  readonly left: string | undefined;
}

/** Waits until nothing is on its way any more: twice in a row, for what is between two tables. */
export async function waitForQuiet(system: System, limitMs: number): Promise<Quiet> {
  const started = Date.now();
  let calm = 0;
  for (;;) {
    const [row] = await system.admin.query<{ outbox: number; queued: number }>(
      `SELECT (SELECT count(*)::integer FROM events_outbox) AS outbox,
        (SELECT count(*)::integer FROM events_deliveries WHERE status = 'queued') AS queued`,
    );
    const { outbox, queued } = row!;
    const jobs = outbox + queued > 0 ? undefined : (await system.jobs()).length;
    calm = jobs === 0 ? calm + 1 : 0;
    const ms = Date.now() - started;
    if (calm >= 2) return { ms, left: undefined };
    if (ms > limitMs) {
      return { ms, left: `outbox ${outbox}, queued deliveries ${queued}, jobs ${jobs ?? '?'}` };
    }
    await delay(EVERY_MS);
  }
}
