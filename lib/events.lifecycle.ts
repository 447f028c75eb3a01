import {
  Logger,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  type OnModuleInit,
} from '@nestjs/common';
import type { SchedulerRegistry } from '@nestjs/schedule';
import { settleWithin } from './common/time-limit.js';
import { EventsSchemaOutdatedError } from './errors.js';
import { toRegistered } from './handle/handler-definition.js';
import type { HandlerDirectory } from './handle/handler-directory.js';
import type { HandlersExplorer } from './handle/handlers.explorer.js';
import type { QueueWorkers } from './handle/queue-workers.js';
import type { EventQueue } from './queue/event-queue.js';
import type { Relay } from './relay/relay.js';
import type { Rescue } from './relay/rescue.js';
import type { ResolvedOptions } from './resolve-options.js';
import type { EventStore } from './store/event-store.js';

/** How often a process says that its handlers are still there. */
const HANDLERS_SEEN_MS = 60_000;

/** Share of the shutdown time for work to end; the rest is for cutting off what did not. */
const GRACEFUL = 0.8;

/** The parts of the module, as far as this process has them. */
export interface EventsParts {
  readonly options: ResolvedOptions;
  readonly store: EventStore;
  readonly explorer: HandlersExplorer;
  readonly directory: HandlerDirectory;
  readonly scheduler: SchedulerRegistry;
  /** Undefined in a process that only emits. */
  readonly queue: EventQueue | undefined;
  readonly relay: Relay | undefined;
  readonly rescue: Rescue | undefined;
  readonly workers: QueueWorkers | undefined;
  /** Lets go of the DataSource. */
  readonly unwatch: () => void;
}

/**
 * Starts and stops everything. Handlers are found when all providers exist, workers start when all
 * modules are initialized, and everything is drained in `onModuleDestroy`: TypeORM's module
 * destroys the DataSource after that, whichever was imported first.
 */
export class EventsLifecycle
  implements OnModuleInit, OnApplicationBootstrap, OnModuleDestroy, OnApplicationShutdown
{
  private readonly logger = new Logger('EventsModule');
  private readonly timers = new Set<string>();
  private stopped: Promise<void> | undefined;

  constructor(private readonly parts: EventsParts) {}

  onModuleInit(): void {
    const { directory, explorer } = this.parts;
    directory.addLocal(explorer.explore());
  }

  async onApplicationBootstrap(): Promise<void> {
    try {
      await this.start();
    } catch (error) {
      // A boot that fails midway leaves nothing running.
      await this.stop();
      throw error;
    }
  }

  onModuleDestroy(): Promise<void> {
    return this.stop();
  }

  /** Until now: requests that were still served may have emitted. */
  onApplicationShutdown(): void {
    this.parts.unwatch();
  }

  private async start(): Promise<void> {
    const { store, directory, options, relay, rescue, workers } = this.parts;
    const here = workers === undefined ? [] : directory.locals().map(toRegistered);
    await this.checkQueue();
    await store.registerHandlers(here);
    await directory.refresh();
    this.logBoot();
    workers?.start();
    if (here.length > 0) {
      // A missed renewal is no harm; the next one follows.
      this.every(
        'handlers',
        HANDLERS_SEEN_MS,
        () => void store.renewHandlers(here).catch(() => {}),
      );
    }
    if (relay !== undefined) {
      relay.start();
      this.every('relay', options.relay.pollIntervalMs, () => relay.wake());
    }
    if (rescue !== undefined) {
      rescue.trigger();
      this.every('rescue', options.rescue.intervalMs, () => rescue.trigger());
    }
  }

  /** A queue out of reach is no reason not to boot; one without its tables is. */
  private async checkQueue(): Promise<void> {
    try {
      await this.parts.queue?.ready();
    } catch (error) {
      const cause = error instanceof Error ? error.cause : undefined;
      if (cause instanceof EventsSchemaOutdatedError) throw cause;
    }
  }

  /** Idempotent. Workers and relay share the grace time. */
  private stop(): Promise<void> {
    this.stopped ??= this.drain();
    return this.stopped;
  }

  private async drain(): Promise<void> {
    const { options, relay, rescue, workers, queue, scheduler } = this.parts;
    for (const name of this.timers) {
      if (scheduler.doesExist('interval', name)) scheduler.deleteInterval(name);
    }
    const graceMs = options.shutdownTimeoutMs * GRACEFUL;
    const forceMs = (options.shutdownTimeoutMs - graceMs) / 2;
    await Promise.all([
      settleWithin(Promise.all([relay?.stop(), rescue?.stop()]), graceMs),
      workers?.stop(graceMs, forceMs),
    ]);
    await queue?.close(forceMs);
  }

  /** Timers are registered by name, so that the application sees and may stop them. */
  private every(what: string, ms: number, tick: () => void): void {
    const name = `events:${this.parts.options.namespace}:${what}`;
    this.parts.scheduler.addInterval(name, setInterval(tick, ms));
    this.timers.add(name);
  }

  private logBoot(): void {
    const { store, queue, options, directory, relay, workers } = this.parts;
    const target = queue === undefined ? 'relayed by other processes' : queue.description;
    this.logger.log(`Namespace "${options.namespace}": ${store.description} → ${target}`);
    const queues = options.workers.map(
      ({ queue: name, concurrency }) => `${name} (${concurrency} at once)`,
    );
    const roles = [
      'emits',
      ...(relay === undefined ? [] : ['relays']),
      ...(workers === undefined ? [] : [`works ${queues.join(', ')}`]),
    ];
    this.logger.log(`This process ${roles.join(', ')}`);
    if (workers === undefined) return;
    for (const handler of directory.locals()) {
      const { events, id, maxAttempts, transactional } = handler;
      this.logger.log(
        `Handler ${id}: ${events.join(', ')} (queue ${handler.queue}, ${maxAttempts} attempts` +
          `${transactional ? ', transactional' : ''})`,
      );
    }
  }
}
