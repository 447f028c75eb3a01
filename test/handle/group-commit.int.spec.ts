import { defineEvent } from 'nestjs-durable-events';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { QUEUE_KINDS } from '../support/bull.js';
import { readDeliveries, upTo } from '../support/deliveries.js';
import { onEvent } from '../support/inline-handler.js';
import { QueryLog } from '../support/query-log.js';
import { countSignals } from '../support/signals.js';
import { newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';
import { deferred } from '../support/wait.js';

const Happened = defineEvent<{ n: number }>('happened');
const JOBS = 200;

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

const warnings: Error[] = [];
const note = (warning: Error) => void warnings.push(warning);
beforeEach(() => {
  process.on('warning', note);
});
afterEach(() => {
  process.off('warning', note);
});

describe.each(QUEUE_KINDS)('%s: 200 jobs that end at once', (kind) => {
  it.each(['completed', 'dead'] as const)('are %s in a few statements', async (outcome) => {
    const namespace = newNamespace();
    const queries = new QueryLog();
    const release = deferred();
    const app = await startApp({
      url: backends.database.url,
      dataSource: { logger: queries },
      events: {
        namespace,
        queue: backends[kind],
        queues: { default: { concurrency: JOBS } },
        defaults: { attempts: 1 },
      },
      providers: [
        onEvent(Happened, { id: 'waits' }, async () => {
          await release.promise;
          if (outcome === 'dead') throw new Error('no');
        }),
      ],
    });
    const started = countSignals(app.signals, 'delivery.started', JOBS);
    const ended = countSignals(app.signals, `delivery.${outcome}`, JOBS);
    await app.dataSource.transaction(() =>
      app.bus.emitMany(upTo(JOBS).map((n) => [Happened, { n }] as const)),
    );
    await started;
    release.resolve();
    await ended;
    const rows = await readDeliveries(app.dataSource, namespace);
    expect(rows.filter(({ status, attempts }) => status === outcome && attempts === 1).length).toBe(
      JOBS,
    );
    const statements = queries.matching(/\bUPDATE\b[^]*events_deliveries/).length;
    expect(statements).toBeGreaterThan(0);
    expect(statements).toBeLessThan(JOBS / 10);
    // Node warns of what looks like a leak of listeners.
    expect(warnings).toEqual([]);
  });
});
