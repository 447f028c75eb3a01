import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os';
import { join } from 'node:path';

/** What the figures were measured on. */
export interface Machine {
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGiB: number;
  readonly system: string;
  /** Of the contenders. */
  readonly node: string;
  /** Runnable processes before the first measurement, over 1 min: others' work on this machine. */
  readonly loadBefore: number;
}

export function describeMachine(node: string): Machine {
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? 'unknown',
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()} ${arch()}`,
    node: execFileSync(node, ['--version'], { encoding: 'utf8' }).trim().slice(1),
    loadBefore: loadavg()[0] ?? 0,
  };
}

/** Versions of installed packages, as a build in that folder finds them; those not found are left out. */
export function versionsOf(
  names: readonly string[],
  folder: string,
): Readonly<Record<string, string>> {
  const require = createRequire(join(folder, 'package.json'));
  const entries = names.flatMap((name) => {
    const places = (require.resolve.paths(name) ?? []).map((place) => join(place, name));
    for (const place of [...places, folder]) {
      try {
        const text = readFileSync(join(place, 'package.json'), 'utf8');
        const found = JSON.parse(text) as { name: string; version: string };
        if (found.name === name) return [[name, found.version] as const];
      } catch {
        // Not in this folder: a package may be further up, or be the project itself.
      }
    }
    return [];
  });
  return Object.fromEntries(entries);
}
