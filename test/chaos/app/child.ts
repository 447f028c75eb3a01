import 'reflect-metadata';
import { subscribe } from 'node:diagnostics_channel';
import { Module, type Provider } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { EventsModule } from 'nestjs-durable-events';
import { Emitter } from './emitter.js';
import { Failpoints, RelayClaimWatch } from './failpoints.js';
import { CHILD_NAME, OrderHandlers } from './handlers.js';
import { MAX_ATTEMPTS, OrderFollowed, OrderPlaced } from './orders.js';
import { TIMES, type ChildSettings, type Command, type Report } from './protocol.js';

const settings = JSON.parse(process.env['CHAOS_CHILD'] ?? '{}') as ChildSettings;
const { name, role, seed, databaseUrl, queue } = settings;
const failpoints = new Failpoints();
// The supervisor is gone. Heard from the start: it may go while this boots.
const abandon = () => process.exit(0);
process.on('disconnect', abandon);

const ROLE_PROVIDERS: Record<typeof role, Provider[]> = {
  emitter: [Emitter],
  relay: [],
  worker: [OrderHandlers],
};

@Module({
  imports: [
    TypeOrmModule.forRoot({
      type: 'postgres',
      url: databaseUrl,
      applicationName: `chaos ${name}`,
      connectTimeoutMS: 3_000,
      retryDelay: 500,
      logging: ['query', 'error'],
      logger: new RelayClaimWatch(failpoints),
    }),
    EventsModule.forRoot({
      queue,
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
    case 'stop-emitting':
      report({ type: 'idle', transactions: (await emitter?.stop()) ?? 0 });
      break;
    case 'arm':
      failpoints.arm(command.failpoint, command.action);
      break;
    case 'disarm':
      failpoints.disarm();
      break;
  }
}

/** Then the process must end by itself: whatever keeps it alive was left behind by a close. */
async function shutDown(): Promise<void> {
  await app.close();
  process.off('disconnect', abandon);
  process.disconnect?.();
}

function report(message: Report): void {
  process.send?.(message);
}
