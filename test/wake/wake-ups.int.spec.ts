import { defineEvent, type QueueTarget } from 'nestjs-durable-events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QUEUE_KINDS } from '../support/bull.js';
import { createPostgresDatabase, onPostgres, type TestDatabase } from '../support/database.js';
import { onEvent } from '../support/inline-handler.js';
import { proxiedQueue } from '../support/proxied.js';
import { nextSignal } from '../support/signals.js';
import { emitIn, newNamespace, startApp } from '../support/start-app.js';
import { createTestBackends, type TestBackends } from '../support/test-app.js';
import { eventually } from '../support/wait.js';

const Placed = defineEvent<{ n: number }>('placed');

let backends: TestBackends;
let other: TestDatabase;
beforeAll(async () => {
  [backends, other] = await Promise.all([createTestBackends(), createPostgresDatabase()]);
});
afterAll(async () => {
  await other.drop();
  await backends.drop();
});

/** A process that emits, and one that relays and works, and never polls. */
async function startPair(emitsTo: QueueTarget | undefined, relaysTo = emitsTo) {
  const namespace = newNamespace();
  const { url } = backends.database;
  const queue = (target: QueueTarget | undefined) =>
    target === undefined ? {} : { queue: target };
  const works = await startApp({
    url,
    events: { ...queue(relaysTo), namespace, relay: { pollInterval: '1h' } },
    providers: [onEvent(Placed, { id: 'noted' }, () => undefined)],
  });
  const emits = await startApp({
    url,
    events: {
      ...queue(emitsTo),
      namespace,
      relay: { enabled: false },
      workers: { enabled: false },
    },
  });
  const handled = async (n: number) => {
    const completed = nextSignal(works.signals, 'delivery.completed');
    await emitIn(emits, Placed, { n });
    return (await completed).position;
  };
  return { works, emits, handled };
}

const OWN: [string, () => undefined] = ['the application’s own PostgreSQL', () => undefined];

describe.each<[string, () => QueueTarget | undefined]>([
  ['Redis', () => backends.redis],
  ['another PostgreSQL', () => ({ postgres: other.url })],
  ...(onPostgres ? [OWN] : []),
])('wake-ups on %s', (_name, target) => {
  it('a commit wakes the relay of another process', async () => {
    const { handled } = await startPair(target());
    // The first may be found because the relay looks once when it begins to listen.
    for (let n = 1; n <= 4; n++) expect(await handled(n)).toBe(n);
  });

  it('a standalone emit does, and a rollback or nothing to relay harms nothing', async () => {
    const { emits, works, handled } = await startPair(target());
    await handled(1);
    const planned = new Error('planned');
    await expect(
      emits.dataSource.transaction(async () => {
        await emits.bus.emit(Placed, { n: 0 });
        throw planned;
      }),
    ).rejects.toBe(planned);
    const completed = nextSignal(works.signals, 'delivery.completed');
    await emits.bus.emit(Placed, { n: 2 }, { standalone: 'allow' });
    expect((await completed).position).toBe(2);
  });
});

it.each(QUEUE_KINDS)(
  'C17: commits while a %s listener was cut off are found when it is back',
  async (kind) => {
    const { proxy, queue } = await proxiedQueue(backends, kind);
    const { emits, works, handled } = await startPair(backends[kind], queue);
    await handled(1);
    proxy.cut();
    await emitIn(emits, Placed, { n: 2 });
    const completed = nextSignal(works.signals, 'delivery.completed');
    proxy.heal();
    expect((await completed).position).toBe(2);
    expect(await handled(3)).toBe(3);
  },
);

it('a Redis out of reach delays no emit, and is told of what was committed meanwhile', async () => {
  const { proxy, queue } = await proxiedQueue(backends, 'redis');
  proxy.cut();
  const { emits, works } = await startPair(queue, backends.redis);
  // So that the relay has had its first look before the emit.
  await eventually(async () => (await works.health.check()).relay.state === 'running', {
    what: 'the relay runs',
  });
  const started = performance.now();
  await emitIn(emits, Placed, { n: 1 });
  expect(performance.now() - started).toBeLessThan(2_000);
  const completed = nextSignal(works.signals, 'delivery.completed');
  proxy.heal();
  expect((await completed).position).toBe(1);
});
