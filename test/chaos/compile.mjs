import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

/**
 * A fault planted in the library's source: exact text, so that it fails loudly where the source has
 * moved on.
 *
 * @typedef {object} Patch
 * @property {string} file below the project's folder
 * @property {string} find occurs exactly once
 * @property {string} replace
 */

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const BUILDS = fileURLToPath(new URL('.build', import.meta.url));
const SOURCES = ['lib', 'test/chaos', 'test/support/proxy.ts', 'test/support/services.ts'];

/**
 * Compiles the library and this harness for plain Node, which can't read TypeScript in version 20.
 * Types are checked elsewhere (`npm run typecheck`), so this takes a second.
 *
 * @param {string} name of the build
 * @param {readonly Patch[]} [patches]
 * @returns {string} folder of the compiled harness
 */
export function compile(name, patches = []) {
  const target = join(BUILDS, name);
  rmSync(target, { recursive: true, force: true });
  const pending = new Set(patches);
  for (const file of SOURCES.flatMap((source) => typescriptFiles(join(ROOT, source)))) {
    const path = relative(ROOT, file);
    let text = readFileSync(file, 'utf8');
    for (const patch of patches.filter((each) => each.file === path)) {
      text = applyPatch(text, patch);
      pending.delete(patch);
    }
    write(join(target, path.replace(/\.ts$/, '.js')), transpile(text, path));
  }
  for (const { file } of pending) throw new Error(`Planted fault: there is no ${file}`);
  cpSync(join(ROOT, 'scripts/services'), join(target, 'scripts/services'), { recursive: true });
  // The children import the library by its name, as an application does.
  const exports = { '.': './lib/index.js' };
  const manifest = { name: 'nestjs-durable-events', type: 'module', exports };
  write(join(target, 'package.json'), JSON.stringify(manifest));
  return join(target, 'test/chaos');
}

/** @param {string} path */
function typescriptFiles(path) {
  if (path.endsWith('.ts')) return [path];
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((file) => /(?<!\.spec|\.d)\.ts$/.test(file) && !file.startsWith('.build'))
    .map((file) => join(path, file));
}

/**
 * @param {string} text
 * @param {Patch} patch
 */
function applyPatch(text, { file, find, replace }) {
  const parts = text.split(find);
  if (parts.length !== 2) {
    throw new Error(
      `Planted fault: expected once in ${file}, found ${parts.length - 1} times. ` +
        `The source has changed; adapt test/chaos/planted/.\n${find}`,
    );
  }
  return parts.join(replace);
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
      inlineSourceMap: true,
      inlineSources: true,
    },
  }).outputText;
}

/**
 * @param {string} file
 * @param {string} text
 */
function write(file, text) {
  const folder = dirname(file);
  if (!existsSync(folder)) mkdirSync(folder, { recursive: true });
  writeFileSync(file, text);
}
