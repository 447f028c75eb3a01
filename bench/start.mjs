// Runs the benchmark: `npm run bench -- --help`. Builds the library, compiles the benchmark, installs
// the libraries it compares with where they are missing, and hands over to `main.ts`.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { runCommand } from '../scripts/run-command.mjs';
import { compile, MAIN_BUILD, PEERS_BUILD, ROOT } from './compile.mjs';
import { installPeers } from './install-peers.mjs';

const args = process.argv.slice(2);
compile(MAIN_BUILD);
const entry = join(MAIN_BUILD, 'bench/main.js');
/** @type {import('./main.js')} */
const { main, parseSettings } = await import(pathToFileURL(entry).href);
const settings = parseSettings(args);

if (settings !== undefined) {
  compile(PEERS_BUILD);
  // Users run what is published: `dist`.
  await runCommand('npm', ['run', 'build'], { cwd: ROOT });
  // Also where no peer is measured: a run's Node must not depend on its groups.
  const peers = await installPeers();
  const ok = await main(settings, peers);
  // Drivers may keep sockets of servers that are gone.
  process.exit(ok ? 0 : 1);
}
