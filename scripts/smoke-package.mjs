// Packs the library, installs it into an empty project with its peers, type-checks and runs an
// application there. Finds what tests of the sources can't: files missing from the package, wrong
// exports, imports that only resolve in this repository, undeclared dependencies.
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { runCommand } from './run-command.mjs';
import { createDatabase } from './services/database.mjs';
import { findServices } from './services/find-services.mjs';

const RUN_TIMEOUT_MS = 60_000;
const NAME = 'nestjs-durable-events';
/** Of the project, beside this file. */
const SOURCES = ['main.ts', 'testing.test.ts'];
const root = fileURLToPath(new URL('..', import.meta.url));

const project = mkdtempSync(join(tmpdir(), 'events-smoke-package-'));
process.on('exit', () => rmSync(project, { recursive: true, force: true }));
// Lets the exit handler run, and the services' guards see that this process is gone.
process.on('SIGINT', () => process.exit(130));
process.on('SIGTERM', () => process.exit(143));

const services = await findServices();
try {
  await createProject();
  await compile({ skipLibCheck: true });
  await runTests();
  await runApplication('on PostgreSQL, with ioredis not installed', {});
  await install(lockedVersions(['ioredis', '@types/pg']));
  // Our declarations name types of the optional peers, so only now can they be checked themselves.
  await compile({ skipLibCheck: false });
  await runApplication('on Redis', { REDIS_URL: services.redisUrl });
} finally {
  await services.stop();
}

async function createProject() {
  const npmPack = ['pack', '--silent', '--pack-destination', project];
  await runCommand('npm', npmPack, { cwd: root });
  const tarball = readdirSync(project).find((file) => file.endsWith('.tgz'));
  if (!tarball) throw new Error('npm pack left no tarball');
  writeFileSync(
    join(project, 'package.json'),
    JSON.stringify({ name: 'smoke', private: true, type: 'module' }),
  );
  await install({
    [NAME]: `file:./${tarball}`,
    ...lockedVersions([...requiredPeers(), '@nestjs/typeorm', '@types/node', 'pg']),
  });
  console.log(`installed ${tarball} with its peers`);
}

/** @param {Record<string, string>} versions */
async function install(versions) {
  const path = join(project, 'package.json');
  const manifest = JSON.parse(readFileSync(path, 'utf8'));
  manifest.dependencies = { ...manifest.dependencies, ...versions };
  writeFileSync(path, JSON.stringify(manifest));
  const flags = ['--prefer-offline', '--no-audit', '--no-fund', '--no-package-lock', '--silent'];
  await runCommand('npm', ['install', ...flags], { cwd: project });
}

/** @param {{ skipLibCheck: boolean }} options */
async function compile({ skipLibCheck }) {
  for (const source of SOURCES) {
    copyFileSync(join(root, 'scripts/smoke-package', source), join(project, source));
  }
  writeFileSync(
    join(project, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions: {
        module: 'nodenext',
        target: 'es2023',
        types: ['node'],
        strict: true,
        skipLibCheck,
        experimentalDecorators: true,
        emitDecoratorMetadata: true,
      },
      include: SOURCES,
    }),
  );
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const output = await runCommand(process.execPath, [tsc, '--pretty', 'false'], {
    cwd: project,
  }).catch((error) => String(error.message));
  // Other packages' declarations fail for drivers that aren't installed; that is not ours.
  const ours = output.split('\n').filter((line) => isOurs(line) && line.includes('error TS'));
  if (ours.length > 0) throw new Error(`Type errors:\n${ours.join('\n')}`);
  console.log(`type-checked${skipLibCheck ? '' : ", with the package's declarations"}`);
}

/** @param {string} line of the compiler's output */
function isOurs(line) {
  return [...SOURCES, `node_modules/${NAME}/`].some((ours) => line.startsWith(ours));
}

/** With a runner that needs nothing installed. */
async function runTests() {
  const output = await runCommand(process.execPath, ['--test', 'testing.test.js'], {
    cwd: project,
    timeout: RUN_TIMEOUT_MS,
  });
  if (!/^\S+ pass 1$/m.test(output)) throw new Error(`The tests did not run:\n${output}`);
  console.log('nestjs-durable-events/testing: a test ran with node:test, closed cleanly');
}

/**
 * @param {string} title
 * @param {NodeJS.ProcessEnv} env
 */
async function runApplication(title, env) {
  const database = await createDatabase(services.databaseUrl);
  const namespace = database.name;
  try {
    const output = await runCommand(process.execPath, ['main.js'], {
      cwd: project,
      timeout: RUN_TIMEOUT_MS,
      env: { PATH: process.env.PATH, DATABASE_URL: database.url, NAMESPACE: namespace, ...env },
    });
    if (!output.includes('handled order.placed')) {
      throw new Error(`The application ${title} did not handle its event:\n${output}`);
    }
    console.log(`${title}: handled order.placed, closed cleanly`);
  } finally {
    await database.drop();
    if (env.REDIS_URL) await deleteKeys(env.REDIS_URL, namespace);
  }
}

/**
 * @param {string} url
 * @param {string} part which the name of every key of the application holds
 */
async function deleteKeys(url, part) {
  const redis = new Redis(url);
  for await (const keys of redis.scanStream({ match: `*${part}*`, count: 1_000 })) {
    if (keys.length > 0) await redis.unlink(keys);
  }
  redis.disconnect();
}

function requiredPeers() {
  const { peerDependencies, peerDependenciesMeta } = readJson('package.json');
  return Object.keys(peerDependencies).filter((name) => !peerDependenciesMeta[name]?.optional);
}

/**
 * The versions that the tests ran with.
 *
 * @param {string[]} names
 * @returns {Record<string, string>}
 */
function lockedVersions(names) {
  const { packages } = readJson('package-lock.json');
  return Object.fromEntries(names.map((name) => [name, packages[`node_modules/${name}`].version]));
}

/** @param {string} path */
function readJson(path) {
  return JSON.parse(readFileSync(join(root, path), 'utf8'));
}
