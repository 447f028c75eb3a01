import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { findBinFolder } from './executables.mjs';

/** Only root may install packages, and only where nobody is asked: the script must not hang. */
export function canInstall() {
  return (
    process.getuid?.() === 0 &&
    existsSync('/etc/debian_version') &&
    findBinFolder(['apt-get']) !== undefined
  );
}

/** @param {string} debianPackage */
export function install(debianPackage) {
  // The packages start system services where nothing forbids it; run level 1 does. We start our own.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  /** @type {import('node:child_process').ExecFileSyncOptions} */
  const options = { env, stdio: ['ignore', 'ignore', 'pipe'] };
  execFileSync('apt-get', ['update', '-qq'], options);
  execFileSync(
    'apt-get',
    ['install', '-qq', '-y', '--no-install-recommends', debianPackage],
    options,
  );
}
