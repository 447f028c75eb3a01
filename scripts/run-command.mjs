import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** @typedef {{ code: number | string, signal: string | null, stdout: string, stderr: string }} RunError */

/**
 * Runs a program to its end, quietly, and rejects with all that it printed if it fails.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd: string, env?: NodeJS.ProcessEnv, timeout?: number }} options timeout in ms
 * @returns {Promise<string>} its standard output
 */
export async function runCommand(command, args, options) {
  try {
    const { stdout } = await run(command, args, { maxBuffer: 64 * 1024 * 1024, ...options });
    return stdout;
  } catch (error) {
    const { code, signal, stdout, stderr } = /** @type {RunError} */ (error);
    throw new Error(
      `${[command, ...args].join(' ')} ended with ${signal ?? code}:\n${stdout}${stderr}`,
      { cause: error },
    );
  }
}
