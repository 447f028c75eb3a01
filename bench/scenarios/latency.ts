import { setTimeout as pause } from 'node:timers/promises';
import { machineMs, type LatencyModule } from '../contenders/latency.js';
import type { Session, Task } from '../protocol.js';

/** Moments by event number, in ms of the machine's clock. */
export type Moments = Record<number, number>;

const ASK_MS = 20;

/** Emits at a steady rate, or handles, or both; the parent subtracts the moments. */
export async function start(task: Task): Promise<Session> {
  const module = (await import(`../${task.contender}.js`)) as LatencyModule;
  const started = new Map<number, number>();
  // The first call counts: a repeat is later.
  const contender = await module.startLatency(task, (n) => {
    if (!started.has(n)) started.set(n, machineMs());
  });
  const emit = (options: Rate) => emitSteadily((n) => contender.emit(n), options);
  return {
    answers: {
      emit,
      /** Resolves when that many events were handled. */
      async handled(count: number): Promise<Moments> {
        while (started.size < count) await pause(ASK_MS);
        const moments = Object.fromEntries(started);
        started.clear();
        return moments;
      },
    },
    close: () => contender.close(),
  };
}

export interface Rate {
  readonly from: number;
  readonly count: number;
  readonly perSecond: number;
}

/** Each event at its own time, whether or not those before it are written: an open system. */
async function emitSteadily(
  emit: (n: number) => Promise<number>,
  { from, count, perSecond }: Rate,
): Promise<Moments> {
  const moments: Moments = {};
  const begin = machineMs();
  const pending: Promise<void>[] = [];
  for (let index = 0; index < count; index++) {
    const wait = begin + (index * 1_000) / perSecond - machineMs();
    if (wait > 0) await pause(wait);
    pending.push(
      emit(from + index).then((moment) => {
        moments[from + index] = moment;
      }),
    );
  }
  await Promise.all(pending);
  return moments;
}
