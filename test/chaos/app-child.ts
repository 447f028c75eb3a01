import { spawn, type ChildProcess } from 'node:child_process';
import { openSync, closeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import {
  GOES_ON,
  HITS_FD,
  type ChildSettings,
  type Command,
  type Failpoint,
  type FailpointAction,
  type Report,
} from './app/protocol.js';
import { Disturbances } from './disturbances.js';

const SCRIPT = fileURLToPath(new URL('app/child.js', import.meta.url));
/** As an orchestrator would: soon, but not at once. */
const RESTART_MS = 300;
const TERM_LIMIT_MS = 20_000;
const RESUME_EVERY_MS = 100;

export type ChildState = 'booting' | 'ready' | 'paused' | 'down';

interface Listeners {
  onHit(child: AppChild, failpoint: Failpoint, action: FailpointAction): void;
  /** It ended without having been told to, after its boot. */
  onCrash(child: AppChild, how: string): void;
  /** It saw something that must not be. */
  onBreach(child: AppChild, what: string): void;
}

type Sought = (message: Report) => boolean;

/** How a process ended on SIGTERM. */
export interface Exit {
  readonly name: string;
  readonly code: number | null;
  readonly signal: string | null;
  readonly ms: number;
  /** What else the harness did to it meanwhile that ends or stops it: then the rest tells nothing. */
  readonly interrupted: string | undefined;
  /** Which of its services were broken meanwhile or shortly before. */
  readonly broken: readonly string[];
}

/** One process of the application, started again whenever it ends. */
export class AppChild {
  state: ChildState = 'down';
  boots = 0;
  /** Every SIGTERM and what came of it. */
  readonly exits: Exit[] = [];
  readonly disturbances = new Disturbances();
  private interrupted: string | undefined;
  private process: ChildProcess | undefined;
  private ordered = false;
  private ending: Promise<void> | undefined;
  private kept = true;
  private timer: NodeJS.Timeout | undefined;
  /** It has told that it stops, and not yet that it goes on. */
  private stopping = false;
  private resuming: NodeJS.Timeout | undefined;
  private readonly waiting = new Set<(message: Report | 'exit') => void>();

  constructor(
    private readonly settings: Omit<ChildSettings, 'seed'>,
    private readonly seed: string,
    private readonly logFile: string,
    private readonly listeners: Listeners,
  ) {}

  get name(): string {
    return this.settings.name;
  }

  get role(): ChildSettings['role'] {
    return this.settings.role;
  }

  start(): void {
    clearTimeout(this.timer);
    if (this.process !== undefined || !this.kept) return;
    const seed = `${this.seed}/${this.name}.${this.boots++}`;
    const settings: ChildSettings = { ...this.settings, seed };
    const log = openSync(this.logFile, 'a');
    const child = spawn(process.execPath, ['--enable-source-maps', SCRIPT], {
      stdio: ['ignore', log, log, 'ipc', 'pipe'],
      env: { ...process.env, CHAOS_CHILD: JSON.stringify(settings), NO_COLOR: '1' },
    });
    closeSync(log);
    this.process = child;
    this.goesOn();
    this.state = 'booting';
    this.ordered = false;
    child.on('message', (message: Report) => this.hear(message));
    child.on('error', () => undefined);
    child.on('exit', (code, signal) => this.ended(code, signal));
    const lines = createInterface({ input: child.stdio[HITS_FD] as Readable });
    lines.on('line', (line) => {
      if (line === GOES_ON) return this.goesOn();
      const [failpoint, action] = line.split(' ') as [Failpoint, FailpointAction];
      this.interrupted ??= `${action} at ${failpoint}`;
      if (action === 'kill') this.ordered = true;
      else {
        this.state = 'paused';
        this.stopping = true;
      }
      this.listeners.onHit(this, failpoint, action);
    });
  }

  kill(): void {
    this.ordered = true;
    this.interrupted ??= 'killed';
    this.process?.kill('SIGKILL');
  }

  pause(): void {
    clearInterval(this.resuming);
    this.interrupted ??= 'stood still';
    if (this.process?.kill('SIGSTOP') === true && this.state === 'ready') this.state = 'paused';
  }

  /**
   * One that stops at a failpoint tells so right before: what comes in between is lost, which may be
   * long on a busy machine. So it is told again until it says that it goes on.
   */
  resume(): void {
    const child = this.process;
    if (child?.kill('SIGCONT') !== true) return;
    if (this.state === 'paused') this.state = 'ready';
    clearInterval(this.resuming);
    if (!this.stopping) return;
    this.resuming = setInterval(() => child.kill('SIGCONT'), RESUME_EVERY_MS);
  }

  send(command: Command): void {
    if (this.process?.connected === true) this.process.send(command, () => undefined);
  }

  /** Rejects after `ms`; resolves with undefined if the process ends instead of answering. */
  ask(command: Command, ms: number): Promise<Report | undefined> {
    const answer = this.next((message) => message.type === 'idle', ms, command.type);
    this.send(command);
    return answer;
  }

  /** Resolves when it is ready; rejects after `ms`. */
  async ready(ms: number): Promise<void> {
    const deadline = Date.now() + ms;
    while (this.state !== 'ready') {
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`${this.name} is still ${this.state} after ${ms} ms`);
      await this.next((message) => message.type === 'ready', left, 'boot');
      if (this.state === 'down') await new Promise((resolve) => setTimeout(resolve, RESTART_MS));
    }
  }

  /** SIGTERM, once; resolves when it has ended, and keeps how. */
  terminate(): Promise<void> {
    this.ending ??= this.end().finally(() => {
      this.ending = undefined;
    });
    return this.ending;
  }

  /** From now on it stays down when it ends. */
  letGo(): void {
    this.kept = false;
    clearTimeout(this.timer);
  }

  private async end(): Promise<void> {
    const child = this.process;
    if (child === undefined) return;
    this.ordered = true;
    this.interrupted = this.state === 'paused' ? 'stood still' : undefined;
    const started = Date.now();
    const ended = new Promise<[number | null, string | null]>((resolve) => {
      child.once('exit', (code, signal) => resolve([code, signal]));
    });
    const overdue = setTimeout(() => child.kill('SIGKILL'), TERM_LIMIT_MS);
    child.kill('SIGTERM');
    const [code, signal] = await ended;
    clearTimeout(overdue);
    const { name, interrupted } = this;
    const broken = this.disturbances.since(started);
    this.exits.push({ name, code, signal, ms: Date.now() - started, interrupted, broken });
  }

  private next(sought: Sought, ms: number, what: string): Promise<Report | undefined> {
    return new Promise((resolve, reject) => {
      const done = () => {
        clearTimeout(timer);
        this.waiting.delete(listener);
      };
      const timer = setTimeout(() => {
        done();
        reject(new Error(`${this.name} (${this.state}): no answer to ${what} in ${ms} ms`));
      }, ms);
      const listener = (message: Report | 'exit') => {
        if (message !== 'exit' && !sought(message)) return;
        done();
        resolve(message === 'exit' ? undefined : message);
      };
      this.waiting.add(listener);
    });
  }

  private hear(message: Report): void {
    if (message.type === 'ready') this.state = 'ready';
    if (message.type === 'breach') this.listeners.onBreach(this, message.what);
    for (const listener of this.waiting) listener(message);
  }

  private goesOn(): void {
    this.stopping = false;
    clearInterval(this.resuming);
  }

  private ended(code: number | null, signal: string | null): void {
    this.goesOn();
    const booting = this.state === 'booting';
    this.process = undefined;
    this.state = 'down';
    for (const listener of this.waiting) listener('exit');
    // A boot may fail while its services are broken; a running process may not end by itself.
    if (!this.ordered && !booting) this.listeners.onCrash(this, `code ${code}, signal ${signal}`);
    if (this.kept) this.timer = setTimeout(() => this.start(), RESTART_MS);
  }
}
