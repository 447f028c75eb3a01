// Compiles the fault harness and runs it: `npm run chaos -- --help`.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { compile } from '../test/chaos/compile.mjs';
import { plantedFault } from '../test/chaos/planted/planted-faults.mjs';

const args = process.argv.slice(2);
const folder = build();
/** @type {{ main: (args: string[]) => Promise<boolean> }} */
const { main } = await import(pathToFileURL(join(folder, 'main.js')).href);
const ok = await main(args);
// Node 20 leaks the handle of a socket that is reset while it shuts down, and would never end.
process.exit(ok ? 0 : 1);

/** The library as it is, or with a fault planted in it. */
function build() {
  const at = args.indexOf('--planted');
  if (at < 0) return compile('main');
  const [, name = ''] = args.splice(at, 2);
  return compile(`planted-${name}`, plantedFault(name).patches);
}
