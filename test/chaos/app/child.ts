import 'reflect-metadata';
import { subscribe } from 'node:diagnostics_channel';
import { Module, type Provider } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DeadLetters, EventsModule, type QueueTarget } from 'nestjs-durable-events';
import { POOL_IDLE_MS } from '../databases/dialect.js';
import { DIALECT, dialectOf } from './dialect-of.js';
import { Emitter } from './emitter.js';
import { Failpoints, RelayClaimWatch } from './failpoints.js';
import { CHILD_NAME, OrderHandlers } from './handlers.js';
import { MAX_ATTEMPTS, OrderFollowed, OrderPlaced, UNRECOVERABLE } from './orders.js';
import { TIMES, type ChildSettings, type Command, type Report } from './protocol.js';

const settings = JSON.parse(process.env['CHAOS_CHILD'] ?? '{}') as ChildSettings;
const { name, role, seed, databaseUrl } = settings;
const dialect = dialectOf(settings.database);
const failpoints = new Failpoints();
// The supervisor is gone. Heard from the start: it may go while this boots.
const abandon = () => process.exit(0);
process.on('disconnect', abandon);

/** A process that ends in order has ended by then. */
const LATE_MS = 10_000;

const ROLE_PROVIDERS: Record<typeof role, Provider[]> = {
  emitter: [Emitter],
  relay: [],
  worker: [OrderHandlers],
};

@Module({
  imports: [
    TypeOrmModule.forRoot({
      ...dialect.dataSource(databaseUrl, name),
      retryDelay: 500,
      logging: ['query', 'error'],
      logger: new RelayClaimWatch(failpoints),
    }),
    EventsModule.forRoot({
      queue: queueOf(settings.queue),
      migrate: true,
      relay: { enabled: role === 'relay', pollInterval: TIMES.pollMs, batchSize: 50 },
      rescue: { after: TIMES.rescueAfterMs, interval: TIMES.rescueIntervalMs },
      workers: {
        enabled: role === 'worker',
        lockDuration: TIMES.lockMs,
        pollInterval: '1s',
      },
      queues: { default: { concurrency: 10 } },
      defaults: { attempts: MAX_ATTEMPTS, backoff: { type: 'fixed', delay: TIMES.backoffMs } },
      shutdownTimeout: TIMES.shutdownMs,
    }),
    EventsModule.forFeature([OrderPlaced, OrderFollowed]),
  ],
  providers: [
    { provide: Failpoints, useValue: failpoints },
    { provide: CHILD_NAME, useValue: name },
    { provide: DIALECT, useValue: dialect },
    ...ROLE_PROVIDERS[role],
  ],
})
class ChaosModule {}

const app = await NestFactory.createApplicationContext(ChaosModule, {
  logger: ['fatal', 'error', 'warn', 'log'],
});
const emitter = role === 'emitter' ? app.get(Emitter) : undefined;
emitter?.seed(seed);

process.on('message', (command: Command) => void obey(command));
process.once('SIGTERM', () => void shutDown());
subscribe('nestjs-durable-events:delivery.skipped', (message) => {
  const { reason, position, handler } = message as Record<string, string>;
  if (reason !== 'it does not exist') return;
  report({ type: 'breach', what: `job of ${position}/${handler} came before its delivery` });
});
report({ type: 'ready' });

async function obey(command: Command): Promise<void> {
  switch (command.type) {
    case 'emit':
      emitter?.start(command.perSecond);
      break;
    case 'emit-batch':
      report({ type: 'idle', transactions: (await emitter?.placeMany(command.count)) ?? 0 });
      break;
    case 'emit-one':
      await emitter?.placeKnown(command.orderId);
      report({ type: 'idle', transactions: 1 });
      break;
    case 'stop-emitting':
      report({ type: 'idle', transactions: (await emitter?.stop()) ?? 0 });
      break;
    case 'arm':
      failpoints.arm(command.failpoint, command.action);
      break;
    case 'disarm':
      failpoints.disarm();
      break;
    case 'operate':
      await operate(command.action);
      break;
  }
}

/** A pool of its own, where it is in PostgreSQL: also one that closes what is idle soon. */
function queueOf(queue: ChildSettings['queue']): QueueTarget {
  if ('redis' in queue) return queue;
  return { postgres: { connectionString: queue.postgres, idleTimeoutMillis: POOL_IDLE_MS } };
}

/** What fails midway is for the next time: an operator would call again. */
async function operate(action: 'redrive' | 'discard'): Promise<void> {
  const deadLetters = app.get(DeadLetters);
  const done =
    action === 'redrive'
      ? deadLetters.redrive({ all: true }, { by: name })
      : deadLetters.discard({ error: UNRECOVERABLE }, { by: name, reason: 'planned' });
  await done.catch((error: unknown) => console.log(`${action} failed: ${String(error)}`));
}

/** Then the process must end by itself: whatever keeps it alive was left behind by a close. */
async function shutDown(): Promise<void> {
  // As a web server that takes no more requests.
  emitter?.close();
  let stage = 'closing';
  // For the log of a process that does not end.
  setTimeout(() => {
    console.log(`still ${stage}, with ${process.getActiveResourcesInfo().join(', ')}`);
  }, LATE_MS).unref();
  await app.close();
  stage = 'closed';
  process.off('disconnect', abandon);
  process.disconnect?.();
}

function report(message: Report): void {
  process.send?.(message);
}
