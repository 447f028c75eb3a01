import { pause } from './pause.js';
import { Prng } from './prng.js';
import type { System } from './system.js';

const READY_LIMIT_MS = 45_000;
/** In so many of the seeds all processes are killed in the end; else they must recover by themselves. */
const KILL_ALL = 0.25;

/**
 * Everything works again. The processes are left as they are, with whatever the faults did to them:
 * a stuck gate, a dead watchdog or leaked connections would be gone with them.
 *
 * @returns whether all of them were killed, which only some seeds ask for
 */
export async function heal(system: System, seed: string): Promise<boolean> {
  system.onHit = ({ member, action }) => {
    // Armed while it stood still.
    if (action === 'pause') member.child.resume();
  };
  for (const { child, database, queue, commits } of system.members) {
    database.heal();
    queue.heal();
    commits.disarm();
    child.send({ type: 'disarm' });
    child.resume();
  }
  await restartWhatIsDown(system);
  for (const { child } of system.of('emitter')) {
    await child.ask({ type: 'stop-emitting' }, READY_LIMIT_MS).catch(() => undefined);
  }
  const killed = new Prng(`heal/${seed}`).chance(KILL_ALL);
  if (killed) {
    for (const { child } of system.members) child.kill();
    await pause(100);
  }
  await Promise.all(system.members.map(({ child }) => child.ready(READY_LIMIT_MS)));
  return killed;
}

/** The faults start their servers again themselves, unless that failed. */
async function restartWhatIsDown({ server, database, queue }: System): Promise<void> {
  if (!(await database.admin.isUp())) await server.restart();
  if (queue.server === undefined) return;
  if (!(await queue.isUp())) await queue.server.restart();
}
