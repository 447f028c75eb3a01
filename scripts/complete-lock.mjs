// Usage: node scripts/complete-lock.mjs, after `npm install` from a registry that doesn't hold every
// platform's binaries: npm leaves those it can't see out of the lock file, and `npm ci` then refuses
// that very lock. This adds them by their names, without a checksum.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const SYSTEMS = ['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32'];
const PROCESSORS = ['x64', 'arm64', 'arm', 'ia32', 'ppc64', 'riscv64', 's390x'];

const path = fileURLToPath(new URL('../package-lock.json', import.meta.url));
/**
 * @typedef {{ dev?: boolean, optionalDependencies?: Record<string, string> }} LockedPackage
 * @type {{ packages: Record<string, LockedPackage> }}
 */
const lock = JSON.parse(readFileSync(path, 'utf8'));
const added = [];

for (const parent of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    const platform = platformOf(name);
    // Ranges can't be told from the name; npm has no trouble with those.
    if (key in lock.packages || platform === undefined || !/^\d/.test(version)) continue;
    const dev = parent.dev === true ? { dev: true } : {};
    lock.packages[key] = Object.assign(dev, {
      version,
      ...platform,
      license: 'MIT',
      optional: true,
    });
    added.push(name);
  }
}

// The root's own entry has the empty path, and comes first.
const sorted = Object.entries(lock.packages).toSorted(([a], [b]) => a.localeCompare(b, 'en'));
lock.packages = Object.fromEntries(sorted);
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`added ${added.length} packages`);

/** @param {string} name such as `@oxlint/binding-linux-x64-musl` */
function platformOf(name) {
  const parts = name.slice(name.indexOf('/') + 1).split('-');
  const os = parts.find((part) => SYSTEMS.includes(part));
  const cpu = parts.find((part) => PROCESSORS.includes(part));
  if (os === undefined || cpu === undefined) return undefined;
  const musl = parts.some((part) => part.startsWith('musl'));
  const gnu = os === 'linux' && parts.some((part) => part.startsWith('gnu'));
  return {
    os: [os],
    cpu: [cpu],
    ...(musl ? { libc: ['musl'] } : gnu ? { libc: ['glibc'] } : {}),
  };
}
