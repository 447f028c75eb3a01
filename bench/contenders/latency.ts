import type { Task } from '../protocol.js';

/** Milliseconds of the machine's own clock: the same in all of its processes. */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** One side of a contender that is measured for latency, or both in one process. */
export interface LatencyContender {
  /** Emits event `n`; resolves to the moment from which on it should be handled. */
  emit(n: number): Promise<number>;
  close(): Promise<void>;
}

/** What the module of such a contender exports. */
export interface LatencyModule {
  startLatency(task: Task, onHandled: (n: number) => void): Promise<LatencyContender>;
}

export type Role = 'emit' | 'work' | 'both';

/** What this process is to do. */
export function roleOf(task: Task): Role {
  return task.options['role'] as Role;
}
