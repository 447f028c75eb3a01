import { accessSync, constants, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/**
 * The folder that holds all of these programs: the first of PATH, or else where packages put what
 * they leave out of it (Debian's PostgreSQL, Homebrew's versioned formulas).
 *
 * @param {string[]} programs
 * @returns {string | undefined}
 */
export function findBinFolder(programs) {
  const folders = [
    ...(process.env.PATH ?? '').split(delimiter).filter(Boolean),
    ...newestFirst('/usr/lib/postgresql'),
    ...newestFirst('/opt/homebrew/opt'),
    ...newestFirst('/usr/local/opt'),
  ];
  return folders.find((folder) => programs.every((program) => isExecutable(join(folder, program))));
}

/** @param {string} parent */
function newestFirst(parent) {
  try {
    const names = readdirSync(parent);
    names.sort((a, b) => b.localeCompare(a, 'en', { numeric: true }));
    return names.map((name) => join(parent, name, 'bin'));
  } catch {
    return [];
  }
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
