import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** @typedef {{ cleanUp(): Promise<void> }} Guard */

/**
 * Ends the server and removes its folder when this process is gone, however it went: the guard
 * reads a pipe which the kernel closes even after a SIGKILL. No signal handler can promise that.
 *
 * @param {string} folder
 * @returns {Guard}
 */
export function startGuard(folder) {
  const script = `
    read -r _
    pid=$(cat "$0/pid" 2>/dev/null)
    if [ -n "$pid" ]; then
      kill -INT "$pid" 2>/dev/null
      for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$pid" 2>/dev/null || break; sleep 0.2; done
      kill -KILL "$pid" 2>/dev/null
    fi
    rm -rf "$0"`;
  const child = spawn('sh', ['-c', script, folder], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const pipe = /** @type {import('node:net').Socket} */ (child.stdin);
  child.unref();
  pipe.unref();
  return {
    async cleanUp() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.ref();
      const exited = once(child, 'exit');
      pipe.end();
      await exited;
    },
  };
}

/**
 * Where the guard reads which process to end; no file, nothing to end.
 *
 * @param {string} folder
 */
export function pidFile(folder) {
  return join(folder, 'pid');
}
