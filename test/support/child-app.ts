import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { onTestFailed, onTestFinished } from 'vitest';
import { buildChildren } from './child-build.js';
import { deferred } from './wait.js';

/** Long: a busy machine starts a process slowly. */
const TIMEOUT_MS = 30_000;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** From the last {@link ChildApp.kill} (or the start) to the end. */
  readonly ms: number;
}

interface Tagged {
  readonly type: string;
}

/**
 * A program of `test/process/children` in a process of its own. It is killed when the test that
 * started it ends, however it ends; if the test fails, what the process printed is shown.
 */
export class ChildApp<Command extends object, Message extends Tagged> {
  /** Everything it has told, in order. */
  readonly messages: Message[] = [];
  /** Resolves when the process is gone and its output is complete. */
  readonly exited: Promise<Exit>;
  stdout = '';
  stderr = '';
  private readonly process: ChildProcess;
  private readonly watchers = new Set<() => void>();
  private since = performance.now();

  /**
   * @param program file name in `test/process/children`, without its extension
   * @param env variables added to those of this process
   */
  constructor(
    readonly program: string,
    env: Record<string, string>,
  ) {
    const file = join(buildChildren(), 'test/process/children', `${program}.js`);
    this.process = spawn(process.execPath, ['--enable-source-maps', file], {
      env: { ...process.env, NO_COLOR: '1', NODE_ENV: 'test', ...env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.process.stdout?.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    this.process.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.process.on('message', (message) => {
      this.messages.push(message as Message);
      this.notify();
    });
    this.exited = this.untilExit();
    onTestFinished(async () => {
      this.process.kill('SIGKILL');
      await this.exited;
    });
    onTestFailed(() => console.error(this.transcript()));
  }

  get pid(): number {
    return this.process.pid!;
  }

  send(command: Command): void {
    // A process that is gone already is told by `exited`.
    this.process.send(command, () => undefined);
  }

  kill(signal: NodeJS.Signals): void {
    this.since = performance.now();
    this.process.kill(signal);
  }

  /** Time since the last {@link kill}. */
  get sinceKillMs(): number {
    return performance.now() - this.since;
  }

  /** Resolves with the first message that matches, told already or yet to come. */
  async told<Type extends Message['type']>(
    type: Type,
    match: (message: Extract<Message, { type: Type }>) => boolean = () => true,
  ): Promise<Extract<Message, { type: Type }>> {
    const [first] = await this.toldTimes(type, 1, match);
    return first!;
  }

  /**
   * Resolves as soon as `count` messages have matched, told already or yet to come.
   *
   * @throws when the process ends, or does not tell them in time
   */
  async toldTimes<Type extends Message['type']>(
    type: Type,
    count: number,
    match: (message: Extract<Message, { type: Type }>) => boolean = () => true,
  ): Promise<Extract<Message, { type: Type }>[]> {
    type Wanted = Extract<Message, { type: Type }>;
    const seen = () =>
      this.messages.filter(
        (message): message is Wanted => message.type === type && match(message as Wanted),
      );
    const reached = deferred();
    const watcher = () => void (seen().length >= count && reached.resolve());
    const missing = (why: string) =>
      reached.reject(new Error(`${this.program} ${why}; told "${type}" ${seen().length}/${count}`));
    const timer = setTimeout(() => missing(`took longer than ${TIMEOUT_MS} ms`), TIMEOUT_MS);
    void this.exited.then(() => missing('ended'));
    this.watchers.add(watcher);
    watcher();
    try {
      await reached.promise;
    } finally {
      clearTimeout(timer);
      this.watchers.delete(watcher);
    }
    return seen().slice(0, count);
  }

  /** What the process printed and how it ended, for people. */
  transcript(): string {
    const { exitCode, signalCode } = this.process;
    const end = exitCode ?? signalCode ?? 'running';
    return [
      `── ${this.program} (pid ${this.pid}, ${end}) stdout ──`,
      this.stdout,
      '── stderr ──',
      this.stderr,
    ].join('\n');
  }

  private notify(): void {
    for (const watcher of this.watchers) watcher();
  }

  private async untilExit(): Promise<Exit> {
    // `close` comes after `exit`, when the output is complete.
    const [code, signal] = (await once(this.process, 'close')) as [Exit['code'], Exit['signal']];
    return { code, signal, ms: this.sinceKillMs };
  }
}
