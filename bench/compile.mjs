import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));
export const PEERS = join(ROOT, 'bench/peers');
/** Modules here find the project's own dependencies, and the library by its name. */
export const MAIN_BUILD = join(ROOT, 'bench/.build');
/** The same modules; here they find the peers' dependencies first. */
export const PEERS_BUILD = join(PEERS, '.build');

/**
 * Compiles the benchmark for plain Node, which can't read TypeScript in version 20. Types are checked
 * elsewhere (`npm run typecheck`).
 *
 * @param {string} target folder
 */
export function compile(target) {
  rmSync(target, { recursive: true, force: true });
  const sources = readdirSync(join(ROOT, 'bench'), { recursive: true, encoding: 'utf8' });
  for (const file of sources) {
    if (!/(?<!\.d)\.ts$/.test(file) || /node_modules|\.build/.test(file)) continue;
    const output = join(target, 'bench', file.replace(/\.ts$/, '.js'));
    mkdirSync(dirname(output), { recursive: true });
    writeFileSync(output, transpile(readFileSync(join(ROOT, 'bench', file), 'utf8'), file));
  }
  cpSync(join(ROOT, 'scripts/services'), join(target, 'scripts/services'), { recursive: true });
}

/**
 * @param {string} text
 * @param {string} fileName
 */
function transpile(text, fileName) {
  return ts.transpileModule(text, {
    fileName,
    compilerOptions: {
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.ESNext,
      experimentalDecorators: true,
      emitDecoratorMetadata: true,
      verbatimModuleSyntax: true,
    },
  }).outputText;
}
