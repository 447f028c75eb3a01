import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { findFreePort } from './free-port.mjs';
import { pidFile, startGuard } from './guard.mjs';

/**
 * A server of our own: a child process on a loopback port, with its files in a temporary folder.
 *
 * @typedef {object} PrivateServer
 * @property {string} url
 * @property {number} port stays the same over restarts
 * @property {number} pid of the running or last process
 * @property {() => Promise<void>} stop ends the process in order and removes its files
 * @property {() => Promise<void>} kill ends the process with SIGKILL and keeps its files
 * @property {() => Promise<void>} restart starts the process again, after `kill()` or while it runs
 */

/**
 * What differs between one kind of server and another.
 *
 * @typedef {object} ServerKind
 * @property {string} name
 * @property {NodeJS.Signals} stopSignal ends it without waiting for clients
 * @property {{ uid: number, gid: number } | undefined} [user] whom to run it as; default: who runs this
 * @property {(folder: string) => Promise<void>} [prepare] makes its files, once
 * @property {(folder: string, port: number) => [command: string, args: string[]]} command
 * @property {(port: number) => string} url
 * @property {(url: string) => Promise<unknown>} ask rejects until the server answers
 */

const START_ATTEMPTS = 3;
const READY_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 10_000;

/**
 * @param {ServerKind} kind
 * @returns {Promise<PrivateServer>}
 */
export async function startChildServer(kind) {
  const folder = makeFolder(kind);
  const guard = startGuard(folder);
  try {
    await kind.prepare?.(folder);
    return await startOnFreePort(kind, folder, guard);
  } catch (error) {
    await guard.cleanUp();
    throw error;
  }
}

/**
 * @param {ServerKind} kind
 * @param {string} folder
 * @param {import('./guard.mjs').Guard} guard
 * @returns {Promise<PrivateServer>}
 */
async function startOnFreePort(kind, folder, guard) {
  for (let attempt = 1; ; attempt++) {
    const port = await findFreePort();
    const run = new ServerRun(kind, folder, port);
    try {
      await run.start();
      return {
        url: kind.url(port),
        port,
        get pid() {
          return run.pid;
        },
        async stop() {
          await run.end(kind.stopSignal);
          await guard.cleanUp();
        },
        kill: () => run.end('SIGKILL'),
        async restart() {
          await run.end(kind.stopSignal);
          await run.startAgain();
        },
      };
    } catch (error) {
      // Another process may have taken the port in between.
      if (attempt === START_ATTEMPTS) throw error;
    }
  }
}

/** One server's process, which may be ended and started again. */
class ServerRun {
  pid = 0;
  #kind;
  #folder;
  #port;
  /** @type {import('node:child_process').ChildProcess | undefined} */
  #child;

  /**
   * @param {ServerKind} kind
   * @param {string} folder
   * @param {number} port
   */
  constructor(kind, folder, port) {
    this.#kind = kind;
    this.#folder = folder;
    this.#port = port;
  }

  /** Resolves when the server answers, and rejects when it exits or takes too long. */
  async start() {
    await this.#spawn();
    const deadline = Date.now() + READY_TIMEOUT_MS;
    /** @type {unknown} */
    let lastError;
    while (this.#isRunning() && Date.now() < deadline) {
      try {
        await this.#kind.ask(this.#kind.url(this.#port));
        // Somebody else's server may have answered on this port.
        if (this.#isRunning()) return;
      } catch (error) {
        lastError = error;
      }
      await delay(50);
    }
    const what = this.#isRunning() ? `did not answer in ${READY_TIMEOUT_MS} ms` : 'exited';
    await this.end('SIGKILL');
    throw new Error(`${this.#kind.name} on port ${this.#port} ${what}.\n${this.#readLog()}`, {
      cause: lastError,
    });
  }

  /** After a SIGKILL, PostgreSQL refuses to start until its last orphaned backend is gone. */
  async startAgain() {
    const deadline = Date.now() + READY_TIMEOUT_MS;
    for (;;) {
      try {
        return await this.start();
      } catch (error) {
        if (Date.now() >= deadline) throw error;
        await delay(100);
      }
    }
  }

  /** @param {NodeJS.Signals} signal */
  async end(signal) {
    const child = this.#child;
    this.#child = undefined;
    if (child && child.exitCode === null && child.signalCode === null) {
      child.ref();
      const exited = once(child, 'exit');
      child.kill(signal);
      const overdue = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      await exited;
      clearTimeout(overdue);
    }
    rmSync(pidFile(this.#folder), { force: true });
  }

  async #spawn() {
    const [command, args] = this.#kind.command(this.#folder, this.#port);
    const child = spawn('sh', ['-c', 'exec "$0" "$@" >>log 2>&1', command, ...args], {
      cwd: this.#folder,
      // Of its own session: a Ctrl-C in the terminal must not end it before the tests end.
      detached: true,
      stdio: 'ignore',
      ...this.#kind.user,
    });
    await once(child, 'spawn');
    child.unref();
    this.#child = child;
    this.pid = /** @type {number} */ (child.pid);
    writeFileSync(pidFile(this.#folder), String(this.pid));
  }

  #isRunning() {
    const child = this.#child;
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  #readLog() {
    try {
      return readFileSync(join(this.#folder, 'log'), 'utf8').slice(-2_000);
    } catch {
      return '';
    }
  }
}

/** @param {ServerKind} kind */
function makeFolder(kind) {
  // Another user must be able to reach the folder, which a private TMPDIR may not allow.
  const folder = mkdtempSync(join(kind.user ? '/tmp' : tmpdir(), `events-test-${kind.name}-`));
  if (kind.user) chownSync(folder, kind.user.uid, kind.user.gid);
  chmodSync(folder, 0o700);
  return folder;
}
