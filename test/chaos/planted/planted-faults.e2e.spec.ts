import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { PLANTED_FAULTS } from './planted-faults.mjs';

const SCRIPT = fileURLToPath(new URL('../../../scripts/chaos.mjs', import.meta.url));
const LIMIT_MS = 100_000;

it.each(PLANTED_FAULTS)(
  'the harness catches $name',
  async ({ name, filter, violates }) => {
    const args = ['--planted', name, '--matrix', '--filter', filter, '--quiet', '12s'];
    const { code, output } = await run([...args, '--seed', '1']);
    const caught = [...output.matchAll(/VIOLATED +(\d+) /g)].map(([, id]) => Number(id));
    // What the run left for people to read; its output says all that matters here.
    for (const [, logs] of output.matchAll(/^Logs: (\S+)$/gm)) rmSync(logs!, { recursive: true });
    if (!caught.some((id) => violates.includes(id))) console.log(output);
    expect(caught.filter((id) => violates.includes(id))).not.toEqual([]);
    expect(code).toBe(1);
  },
  LIMIT_MS + 10_000,
);

function run(args: string[]): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    const options = { timeout: LIMIT_MS, env: { ...process.env, NODE_OPTIONS: '' } };
    const child = execFile(process.execPath, [SCRIPT, ...args], options, (_error, out, err) => {
      resolve({ code: child.exitCode, output: out + err });
    });
  });
}
