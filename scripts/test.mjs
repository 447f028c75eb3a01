// Runs vitest, and prints `N passed, N failed` alone as the last line.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = mkdtempSync(join(tmpdir(), 'events-test-report-'));
const report = join(folder, 'report.json');

const vitest = spawn(
  process.execPath,
  [
    fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url)),
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...process.argv.slice(2),
  ],
  { cwd: fileURLToPath(new URL('..', import.meta.url)), stdio: 'inherit' },
);

for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) {
  process.on(signal, () => vitest.kill(signal));
}

vitest.on('exit', (code, signal) => {
  const counts = readCounts();
  rmSync(folder, { recursive: true, force: true });
  if (signal) console.error(`vitest was ended by ${signal}`);
  process.exitCode = code ?? 1;
  if (counts.passed + counts.failed === 0) {
    console.error('No test ran.');
    process.exitCode ||= 1;
  }
  // What fails outside of a test (a broken import, an unhandled rejection) is a failure too.
  if (process.exitCode !== 0) counts.failed ||= 1;
  console.log(summary(counts));
});

function readCounts() {
  try {
    const json = JSON.parse(readFileSync(report, 'utf8'));
    return {
      passed: json.numPassedTests,
      failed: json.numFailedTests,
      skipped: json.numPendingTests + json.numTodoTests,
    };
  } catch {
    return { passed: 0, failed: 0, skipped: 0 };
  }
}

/** @param {{ passed: number, failed: number, skipped: number }} counts */
function summary({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}
