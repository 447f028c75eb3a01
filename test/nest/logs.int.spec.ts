import { Module, type Provider } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  defineEvent,
  EventsModule,
  UnrecoverableEventError,
  type EventsModuleOptions,
} from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { openBull, QUEUE_KINDS } from '../support/bull.js';
import { marked } from '../support/queue-mark.js';
import { dataSourceOptions } from '../support/data-source.js';
import { onPostgres } from '../support/database.js';
import { onEvent } from '../support/inline-handler.js';
import { LogLines } from '../support/log-lines.js';
import { proxiedQueue } from '../support/proxied.js';
import { registerHandler } from '../support/register-handler.js';
import { createRole } from '../support/role.js';
import { countSignals, nextSignal } from '../support/signals.js';
import { emitIn, newNamespace } from '../support/start-app.js';
import { createTestBackends, toTestApp, type TestBackends } from '../support/test-app.js';

const SECRET = 'card-4711-4711';
const Happened = defineEvent('happened', {
  schema: z.object({ card: z.string(), n: z.number() }),
});

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(() => backends.drop());

/** Like a user's `NestFactory.create(…, { logger })`: the lines of the boot are there too. */
async function startLogged(
  events: EventsModuleOptions,
  providers: Provider[],
  url = backends.database.url,
) {
  const logs = new LogLines();
  @Module({
    imports: [
      TypeOrmModule.forRoot(dataSourceOptions(url)),
      EventsModule.forRoot({ relay: { pollInterval: '50ms' }, ...events }),
    ],
    providers,
  })
  class App {}
  const context = await NestFactory.createApplicationContext(App, {
    logger: logs,
    abortOnError: false,
  });
  onTestFinished(() => context.close());
  const app = toTestApp(context);
  return { app, logs };
}

describe('the boot', () => {
  it('logs where events go, what this process does, and every handler', async () => {
    const namespace = newNamespace();
    const { logs } = await startLogged(
      {
        namespace,
        queue: backends.redis,
        queues: { mail: { concurrency: 5 } },
        defaults: { attempts: 4 },
      },
      [
        onEvent([Happened, 'other'], { id: 'mails', queue: 'mail' }, () => undefined),
        onEvent(Happened, { id: 'stock', transactional: true, attempts: 9 }, () => undefined),
      ],
    );
    const { name } = backends.database;
    expect(logs.ours.map(({ level, text }) => `${level}: ${text}`)).toEqual([
      expect.stringMatching(
        new RegExp(
          `^log: Namespace "${namespace}": ${onPostgres ? 'PostgreSQL' : 'MySQL'} database "${name}" → BullMQ on Redis at [\\w.]+:\\d+$`,
        ),
      ),
      'log: This process emits, relays, works default (50 at once), mail (5 at once)',
      'log: Handler mails: happened, other (queue mail, 4 attempts)',
      'log: Handler stock: happened (queue default, 9 attempts, transactional)',
    ]);
  });

  it('says what a process with fewer roles does, and no handlers that it does not run', async () => {
    const { logs } = await startLogged(
      { namespace: newNamespace(), relay: { enabled: false }, workers: { enabled: false } },
      [onEvent(Happened, { id: 'idle' }, () => undefined)],
    );
    const texts = logs.ours.map(({ text }) => text);
    expect(texts).toHaveLength(2);
    expect(texts[0]).toMatch(/→ relayed by other processes$/);
    expect(texts[1]).toBe('This process emits');
  });

  it('logs no credentials of the database', async () => {
    await startLogged({ namespace: newNamespace(), queue: backends.redis }, []); // makes the tables
    const namespace = newNamespace();
    const role = await createRole(backends.database, `app_${namespace}`);
    const events = { namespace, queue: backends.redis, migrate: false };
    const { logs } = await startLogged(events, [], role.url);
    expect(logs.ours[0]?.text).toContain(backends.database.name);
    expect(JSON.stringify(logs.lines)).not.toContain(role.password);
  });

  it.runIf(QUEUE_KINDS.includes('postgres'))('nor those of a queue on PostgreSQL', async () => {
    const url = new URL(backends.database.url);
    url.password = 'hunter2';
    const { logs } = await startLogged(
      { namespace: newNamespace(), queue: { postgres: url.toString() } },
      [],
    );
    expect(JSON.stringify(logs.lines)).not.toContain('hunter2');
  });
});

describe('an event', () => {
  it('is logged by its outcome, with ids and never with its data', async () => {
    const namespace = newNamespace();
    const { app, logs } = await startLogged(
      { namespace, queue: backends.redis, defaults: { attempts: 2, backoff: 20 } },
      [
        onEvent(Happened, { id: 'fine' }, () => undefined),
        onEvent(Happened, { id: 'retried' }, (_event, { attempt }) => {
          if (attempt === 1) throw new Error('out of paper');
        }),
        onEvent(Happened, { id: 'dies' }, () => {
          throw new Error('no printer');
        }),
        onEvent(Happened, { id: 'gives-up' }, () => {
          throw new UnrecoverableEventError('no such order');
        }),
      ],
    );
    // The boot's first look at the queue pushes again what is queued: a job that has ended by then would
    // be there once more, and tell that it is skipped.
    await marked(app, await openBull(backends, 'redis', namespace), namespace);
    const ended = Promise.all([
      countSignals(app.signals, 'delivery.completed', 2),
      countSignals(app.signals, 'delivery.dead', 2),
    ]);
    const booted = logs.lines.length;
    const { eventId } = await emitIn(
      app,
      Happened,
      { card: SECRET, n: 1 },
      { metadata: { note: SECRET }, key: 'the-key' },
    );
    await ended;
    await expect(
      app.dataSource.transaction(() =>
        app.bus.emit(Happened, { card: SECRET, n: SECRET } as unknown as {
          card: string;
          n: number;
        }),
      ),
    ).rejects.toThrow(/does not fit its schema/);
    const lines = logs.lines.slice(booted).map(({ level, text, context }) => {
      expect(context).toBe('DurableEvents');
      return `${level}: ${text}`;
    });
    const one = (pattern: string) =>
      expect(lines).toContainEqual(expect.stringMatching(new RegExp(pattern)));
    one(`^debug: happened ${eventId} emitted$`);
    one(`^debug: relayed 1 events, 4 deliveries, to position 1$`);
    one(`^debug: happened ${eventId} → fine completed, attempt 1, \\d+ ms$`);
    one(
      `^warn: happened ${eventId} → retried failed, attempt 1 of 2, next try in 20 ms: Error: out of paper$`,
    );
    one(`^debug: happened ${eventId} → retried completed, attempt 2, \\d+ ms$`);
    one(
      `^warn: happened ${eventId} → dies failed, attempt 1 of 2, next try in 20 ms: Error: no printer$`,
    );
    one(`^error: happened ${eventId} → dies is dead after attempt 2 of 2: Error: no printer$`);
    one(
      `^error: happened ${eventId} → gives-up is dead after attempt 1 of 2 \\(unrecoverable\\): UnrecoverableEventError: no such order$`,
    );
    expect(lines).toHaveLength(8);
    expect(JSON.stringify(logs.lines)).not.toContain(SECRET);
  });

  it('for an unknown handler is a warning that names the way out', async () => {
    const namespace = newNamespace();
    const { app, logs } = await startLogged({ namespace, queue: backends.redis }, []);
    await registerHandler(app.dataSource, namespace, 'gone');
    const parked = nextSignal(app.signals, 'delivery.parked');
    const { eventId } = await emitIn(app, Happened, { card: SECRET, n: 1 });
    await parked;
    expect(logs.ours.at(-1)).toEqual({
      level: 'warn',
      context: 'DurableEvents',
      text: expect.stringMatching(
        new RegExp(
          `^happened ${eventId} → gone: .*queue "default".*no such handler.*aliases: \\['gone'\\]`,
        ),
      ) as string,
    });
  });
});

it('an outage of the queue is one warning, its end one line', async () => {
  const { proxy, queue } = await proxiedQueue(backends, 'redis');
  proxy.cut();
  const { app, logs } = await startLogged(
    { namespace: newNamespace(), queue, shutdownTimeout: '500ms' },
    [onEvent(Happened, { id: 'fine' }, () => undefined)],
  );
  const failed = nextSignal(app.signals, 'relay.failed');
  const completed = nextSignal(app.signals, 'delivery.completed');
  await emitIn(app, Happened, { card: SECRET, n: 1 });
  await failed;
  proxy.heal();
  await completed;
  const told = logs.ours.filter(({ text }) => text.startsWith('BullMQ on Redis at'));
  expect(told).toMatchObject([
    {
      level: 'warn',
      text: expect.stringMatching(/can't be reached: .*Events stay safe/) as string,
    },
    { level: 'log', text: expect.stringMatching(/is back$/) as string },
  ]);
  expect(logs.ours.filter(({ level }) => level === 'error')).toEqual([]);
});
