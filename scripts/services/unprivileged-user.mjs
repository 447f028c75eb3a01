import { execFileSync } from 'node:child_process';

/**
 * Whom to run a server as that refuses to run as root: the first of these users that exists.
 *
 * @param {string[]} names
 * @returns {{ uid: number, gid: number } | undefined} undefined: we are not root
 */
export function unprivilegedUser(names) {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of names) {
    try {
      const id = (/** @type {string} */ flag) =>
        Number(execFileSync('id', [flag, name], { stdio: ['ignore', 'pipe', 'ignore'] }));
      return { uid: id('-u'), gid: id('-g') };
    } catch {
      // No such user: try the next one.
    }
  }
  throw new Error(
    `The server can't run as root, and there is no user \`${names.join('` or `')}\`.`,
  );
}
