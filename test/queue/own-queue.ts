import { randomUUID } from 'node:crypto';
import { Signals, type QueueTarget } from 'nestjs-durable-events';
import { onTestFinished } from 'vitest';
import type { BullBackend } from '../../lib/queue/bull-backend.js';
import { BullEventQueue } from '../../lib/queue/bull-event-queue.js';
import type {
  DeliveryJob,
  ProcessJob,
  QueueWorker,
  WorkOptions,
} from '../../lib/queue/event-queue.js';
import { PostgresBackend } from '../../lib/queue/postgres/postgres-backend.js';
import { RedisBackend } from '../../lib/queue/redis/redis-backend.js';
import type { WatchdogTimes } from '../../lib/queue/worker-watchdog.js';
import { newNamespace } from '../support/start-app.js';

/** An event queue without an application around it. Closed with the test. */
export class OwnQueue {
  readonly scope: { namespace: string; identity: string };
  readonly signals: Signals;
  readonly queue: BullEventQueue;

  constructor(target: QueueTarget, watchdog?: WatchdogTimes, scope = newScope()) {
    this.scope = scope;
    this.signals = new Signals(scope.namespace);
    this.queue = new BullEventQueue(
      backendFor(target, this.signals),
      scope,
      this.signals,
      watchdog,
    );
    onTestFinished(() => this.queue.close(1_000));
  }

  /** Like another process on the same queue. */
  another(target: QueueTarget): OwnQueue {
    return new OwnQueue(target, undefined, this.scope);
  }

  /** BullMQ's name of the queue. */
  get bullName(): string {
    return `events.${this.scope.namespace}.default.${this.scope.identity}`;
  }

  work(process: ProcessJob, options: Partial<WorkOptions> = {}): QueueWorker {
    const worker = this.queue.work(
      {
        queue: 'default',
        concurrency: 5,
        limiter: undefined,
        lockDurationMs: 30_000,
        pollIntervalMs: 200,
        ...options,
      },
      process,
    );
    onTestFinished(() => worker.close(1_000, 1_000));
    return worker;
  }

  /** Pushes one job per number; they arrive as positions. */
  push(numbers: readonly number[], more: Partial<DeliveryJob> = {}): Promise<void> {
    return this.queue.push(
      numbers.map((n) => ({
        id: `job-${n}-x`,
        queue: 'default',
        priority: undefined,
        data: { handler: 'noted', deliveries: [{ position: n, epoch: 0 }] },
        ...more,
      })),
    );
  }
}

/** A process that notes which jobs it got. */
export function noting(into: number[]): ProcessJob {
  return async ({ data: { deliveries } }) => {
    into.push(...deliveries.map(({ position }) => position));
  };
}

function newScope(): { namespace: string; identity: string } {
  return { namespace: newNamespace(), identity: randomUUID().slice(0, 8) };
}

function backendFor(target: QueueTarget, signals: Signals): BullBackend {
  if ('redis' in target) return new RedisBackend(target.redis, target.prefix ?? 'bull', signals);
  return new PostgresBackend(target.postgres, { workers: 1, migrate: true });
}
