import { setTimeout as delay } from 'node:timers/promises';
import { POOL_IDLE_MS } from './databases/dialect.js';
import { connectionsOf, type System } from './system.js';

const EVERY_MS = 200;
/** What pools may have opened in excess is closed by then; MySQL's looks once in a second. */
const CLOSED_BY_MS = POOL_IDLE_MS + 8_000;
/** A poll, a rescue, an operation may be under way whenever one looks. */
const SPARE_CONNECTIONS = 2;

export interface Quiet {
  readonly ms: number;
  /** What still moved when the time was over; undefined: it is quiet. */
  readonly left: string | undefined;
  /** What each child held once it was quiet and its pools had had time. */
  readonly connections: readonly Connections[];
}

interface Connections {
  readonly name: string;
  readonly held: number;
  readonly limit: number;
}

/** Waits until nothing is on its way any more: twice in a row, for what is between two tables. */
export async function waitForQuiet(system: System, limitMs: number): Promise<Quiet> {
  const started = Date.now();
  let calm = 0;
  for (;;) {
    const { outbox, queued } = await waiting(system);
    const jobs = outbox + queued > 0 ? undefined : (await system.queue.jobs()).length;
    calm = jobs === 0 ? calm + 1 : 0;
    const ms = Date.now() - started;
    if (calm >= 2) return { ms, left: undefined, connections: await settled(system) };
    if (ms > limitMs) {
      const left = `outbox ${outbox}, queued deliveries ${queued}, jobs ${jobs ?? '?'}`;
      return { ms, left, connections: [] };
    }
    await delay(EVERY_MS);
  }
}

export async function waiting({ database }: System): Promise<{ outbox: number; queued: number }> {
  const [row] = await database.admin.query<{ outbox: unknown; queued: unknown }>(
    `SELECT (SELECT COUNT(*) FROM events_outbox) AS outbox,
      (SELECT COUNT(*) FROM events_deliveries WHERE status = 'queued') AS queued`,
  );
  return { outbox: Number(row?.outbox), queued: Number(row?.queued) };
}

/** As soon as all are within their limits, or after the time that pools need. */
async function settled(system: System): Promise<Connections[]> {
  const deadline = Date.now() + CLOSED_BY_MS;
  for (;;) {
    const found = system.members.map((member) => ({
      name: member.child.name,
      held: connectionsOf(member),
      limit: member.connectionsAtBoot + SPARE_CONNECTIONS,
    }));
    if (found.every(({ held, limit }) => held <= limit) || Date.now() > deadline) return found;
    await delay(EVERY_MS);
  }
}
