import type { Task } from '../protocol.js';

/** Called at the start of every handler, with the number of its event. */
export type OnHandled = (n: number) => void;

/** A library under test that is running: its handlers wait for events. */
export interface Contender {
  /** Makes events `from`…`from + count - 1` in an open transaction; the result commits it. */
  seed(from: number, count: number): Promise<() => Promise<void>>;
  /** How many deliveries are done, as the database (or the queue) has it, since the start. */
  done(): Promise<number>;
  /** Median time between two relay transactions since this was last asked, in ms. */
  passMs?(): number | undefined;
  close(): Promise<void>;
}

/** What the module of a contender exports. */
export interface ContenderModule {
  start(task: Task, onHandled: OnHandled): Promise<Contender>;
}

/** Handlers per event, of the contender's variant. */
export function handlersOf(task: Task): number {
  return Number(task.options['handlers'] ?? 1);
}
