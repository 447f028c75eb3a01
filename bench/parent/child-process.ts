import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Answer, Task } from '../protocol.js';

const START_LIMIT_MS = 60_000;
const CLOSE_LIMIT_MS = 15_000;
const LOG_LENGTH = 4_000;

/** Where a child's modules are: the project's build, or that of the peers. */
export interface Place {
  readonly node: string;
  readonly build: string;
}

export const OWN_BUILD = fileURLToPath(new URL('../..', import.meta.url));
const running = new Set<ChildProcess>();
let givenUp = false;

/** Starts a child; resolves when its contender is ready. */
export async function startChild(task: Task, place: Place): Promise<BenchChild> {
  // The process is about to exit: whoever waits for this has nothing more to do.
  if (givenUp) await new Promise(() => undefined);
  const process = fork(join(place.build, 'bench/child.js'), {
    execPath: place.node,
    // As it is deployed, and as fast as it gets.
    env: { ...globalThis.process.env, NODE_ENV: 'production', BENCH_TASK: JSON.stringify(task) },
    serialization: 'advanced',
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const child = new BenchChild(process, `${task.contender} (${task.scenario})`);
  try {
    await child.answer(START_LIMIT_MS);
    return child;
  } catch (error) {
    await child.kill();
    throw error;
  }
}

/** Ends all children at once and starts no more, when the run is given up. */
export function killChildren(): void {
  givenUp = true;
  for (const child of running) child.kill('SIGKILL');
}

export class BenchChild {
  private log = '';
  private readonly exited: Promise<void>;

  constructor(
    private readonly process: ChildProcess,
    private readonly name: string,
  ) {
    running.add(process);
    const keep = (chunk: Buffer) => {
      this.log = (this.log + chunk.toString()).slice(-LOG_LENGTH);
    };
    process.stdout?.on('data', keep);
    process.stderr?.on('data', keep);
    this.exited = new Promise((resolve) => {
      process.once('exit', () => {
        running.delete(process);
        resolve();
      });
    });
  }

  /** Rejects if it fails, ends, or takes longer than `limitMs`. */
  async ask<Value>(ask: string, argument: unknown, limitMs: number): Promise<Value> {
    // What can't be sent has no answer either.
    this.process.send({ ask, argument }, () => undefined);
    return (await this.answer(limitMs)) as Value;
  }

  answer(limitMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const done = (settle: () => void) => {
        clearTimeout(overdue);
        this.process.off('message', hear);
        this.process.off('exit', gone);
        settle();
      };
      const problem = (what: string) =>
        done(() => reject(new Error(`${this.name}: ${what}\n${this.log}`.trim())));
      const hear = (answer: Answer) => {
        if ('error' in answer) problem(answer.error);
        else done(() => resolve(answer.value));
      };
      const gone = () => problem('ended before its answer');
      const overdue = setTimeout(() => problem(`no answer in ${limitMs} ms`), limitMs);
      this.process.on('message', hear);
      this.process.once('exit', gone);
      if (this.process.exitCode !== null || this.process.signalCode !== null) gone();
    });
  }

  /** Closes its contender in order, then ends it whatever came of that. */
  async close(): Promise<void> {
    try {
      await this.ask('close', undefined, CLOSE_LIMIT_MS);
    } catch {
      // It was measured already; what it can't close goes with the process.
    }
    await this.kill();
  }

  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.exited;
  }
}
