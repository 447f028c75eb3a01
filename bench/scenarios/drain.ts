import { setTimeout as pause } from 'node:timers/promises';
import { handlersOf, type Contender, type ContenderModule } from '../contenders/contender.js';
import type { Session, Task } from '../protocol.js';
import { Tally } from './tally.js';

/** Unless the task names another count. */
const WARM_UP_EVENTS = 1_000;
/** How often to ask the database whether the last deliveries are marked, in ms. */
const ASK_MS = 10;

export interface Drained {
  readonly events: number;
  /** From the commit of the waiting events until the database has all deliveries as done. */
  readonly seconds: number;
  /** Until the last handler ran. */
  readonly handlerSeconds: number;
  /** Handler calls beyond one per delivery. */
  readonly repeats: number;
  readonly peakRssBytes: number;
  readonly cpuSeconds: number;
  /** Median time between two relay transactions; undefined where a contender has none. */
  readonly passMs: number | undefined;
}

/** Runs a contender whose workers wait; events become visible to it all at once. */
export async function start(task: Task): Promise<Session> {
  const module = (await import(`../${task.contender}.js`)) as ContenderModule;
  const tally = new Tally(handlersOf(task));
  const contender = await module.start(task, (n) => tally.count(n));
  const drain = drainer(contender, tally, handlersOf(task));
  await drain(Number(task.options['warmUpEvents'] ?? WARM_UP_EVENTS));
  return { answers: { drain }, close: () => contender.close() };
}

function drainer(contender: Contender, tally: Tally, handlers: number) {
  let seeded = 0;
  return async (events: number): Promise<Drained> => {
    const commit = await contender.seed(seeded, events);
    const handled = tally.expect(seeded, events);
    contender.passMs?.();
    seeded += events;
    const cpu = process.cpuUsage();
    const started = performance.now();
    await commit();
    await handled;
    const handlerSeconds = (performance.now() - started) / 1_000;
    while ((await contender.done()) < seeded * handlers) await pause(ASK_MS);
    const seconds = (performance.now() - started) / 1_000;
    const { user, system } = process.cpuUsage(cpu);
    return {
      events,
      seconds,
      handlerSeconds,
      repeats: tally.repeats,
      peakRssBytes: process.resourceUsage().maxRSS * 1_024,
      cpuSeconds: (user + system) / 1e6,
      passMs: contender.passMs?.(),
    };
  };
}
