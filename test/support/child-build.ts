import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Inside node_modules: ignored by git and the linters, and bare imports resolve as in the repository. */
const CACHE = join(ROOT, 'node_modules/.cache/nestjs-durable-events-children');
const SOURCES = ['lib', 'test/process/children'];
const STALE_MS = 3_600_000;

/**
 * Compiles the library and the child programs to plain JavaScript, file by file, because Node 20
 * runs no TypeScript. Types are checked by `npm run typecheck`, like those of all tests.
 *
 * The folder is named after the sources' content, so it is made once and never stale; test files
 * that build at the same time don't disturb each other.
 *
 * @returns the folder; it has the repository's layout, with `.js` files
 */
export function buildChildren(): string {
  const sources = SOURCES.flatMap(listSources).map((path) => ({
    path,
    text: readFileSync(join(ROOT, path), 'utf8'),
  }));
  const folder = join(CACHE, digest(sources));
  if (existsSync(folder)) {
    // Used now: copies of the repository may share this folder, and remove what is old.
    utimesSync(folder, new Date(), new Date());
    return folder;
  }
  mkdirSync(CACHE, { recursive: true });
  const draft = mkdtempSync(join(CACHE, 'draft-'));
  for (const { path, text } of sources) write(join(draft, toJs(path)), transpile(path, text));
  write(join(draft, 'package.json'), '{ "type": "module" }');
  try {
    renameSync(draft, folder);
  } catch {
    // Another test file was faster; its build is the same.
    rmSync(draft, { recursive: true, force: true });
  }
  removeStale();
  return folder;
}

function listSources(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name))
    .toSorted();
}

function digest(sources: readonly { path: string; text: string }[]): string {
  return createHash('sha256').update(JSON.stringify(sources)).digest('hex').slice(0, 16);
}

function transpile(path: string, text: string): string {
  return ts.transpileModule(text, { fileName: join(ROOT, path), compilerOptions: options() })
    .outputText;
}

let compilerOptions: ts.CompilerOptions | undefined;

/** Those of the repository, so that decorators and their metadata come out as they do for users. */
function options(): ts.CompilerOptions {
  compilerOptions ??= {
    ...ts.convertCompilerOptionsFromJson(
      (
        ts.readConfigFile(join(ROOT, 'tsconfig.json'), (path) => ts.sys.readFile(path)).config as {
          compilerOptions: unknown;
        }
      ).compilerOptions,
      ROOT,
    ).options,
    // `nodenext` would look for package.json beside each source.
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    noEmit: false,
    inlineSourceMap: true,
  };
  return compilerOptions;
}

function toJs(path: string): string {
  return path.replace(/\.ts$/, '.js');
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** Builds of older sources; a run that still uses one is not older than this. */
function removeStale(): void {
  for (const name of readdirSync(CACHE)) {
    const folder = join(CACHE, name);
    const made = statSync(folder, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
    if (made < Date.now() - STALE_MS) rmSync(folder, { recursive: true, force: true });
  }
}
