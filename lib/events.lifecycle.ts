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
import { CHUNK_MS } from './handle/chunk-turns.js';
import { toRegistered } from './handle/handler-definition.js';
import type { HandlerDirectory } from './handle/handler-directory.js';
import type { HandlerRegistry } from './handle/handler-registry.js';
import type { HandlersExplorer } from './handle/handlers.explorer.js';
import type { Paces } from './handle/paces.js';
import type { QueueWorkers } from './handle/queue-workers.js';
import type { Signals } from './observability/signals.js';
import type { EventQueue } from './queue/event-queue.js';
import type { QueueWatch } from './relay/queue-watch.js';
import type { Relay } from './relay/relay.js';
import type { Rescue } from './relay/rescue.js';
import type { ResolvedOptions } from './resolve-options.js';
import type { EventStore, RegisteredHandler } from './store/event-store.js';
import type { WakeUps } from './wake/wake-ups.js';

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
  readonly handlers: HandlerRegistry;
  readonly paces: Paces;
  readonly scheduler: SchedulerRegistry;
  readonly signals: Signals;
  /** Undefined in a process that only emits. */
  readonly queue: EventQueue | undefined;
  readonly relay: Relay | undefined;
  readonly rescue: Rescue | undefined;
  readonly queueWatch: QueueWatch | undefined;
  readonly workers: QueueWorkers | undefined;
  /** Tells other processes of commits here, or hears of theirs. */
  readonly wakeUps: WakeUps | undefined;
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
    const { store, directory, options, relay, workers } = this.parts;
    const here = workers === undefined ? [] : directory.locals().map(toRegistered);
    await this.checkQueue();
    await store.registerHandlers(here);
    await directory.refresh();
    this.logBoot();
    this.parts.wakeUps?.start();
    workers?.start();
    if (here.length > 0) {
      this.every('handlers', HANDLERS_SEEN_MS, () => void this.tellHandlers(here));
    }
    if (this.parts.queue !== undefined) await this.lookAfterGone().catch(() => undefined);
    if (relay !== undefined) {
      relay.start();
      this.every('relay', options.relay.pollIntervalMs, () => relay.poll());
    }
    this.startRescue();
  }

  private startRescue(): void {
    const { options, relay, rescue, queueWatch, queue, signals } = this.parts;
    if (rescue === undefined || queueWatch === undefined || queue === undefined) return;
    rescue.trigger();
    queueWatch.trigger();
    this.every('rescue', options.rescue.intervalMs, () => rescue.trigger());
    this.every('queue-watch', queue.watchIntervalMs, () => queueWatch.trigger());
    signals.on('queue.available', () => {
      relay?.retryNow();
      // After an outage it may be empty.
      queueWatch.trigger();
    });
  }

  private async tellHandlers(here: readonly RegisteredHandler[]): Promise<void> {
    try {
      await this.parts.store.renewHandlers(here.map((handler) => this.paced(handler)));
      await this.lookAfterGone();
    } catch {
      // A missed renewal is no harm; the next one follows.
    }
  }

  /** Relays put no more into a job of this handler than it does quickly. */
  private paced(handler: RegisteredHandler): RegisteredHandler {
    const perJob = handler.perJob ?? this.parts.paces.fitting(handler.id, CHUNK_MS);
    return perJob === undefined ? handler : { ...handler, perJob };
  }

  /** Nothing that a boot may fail of. */
  private async lookAfterGone(): Promise<void> {
    await this.parts.handlers.finishRetirements();
    await this.parts.handlers.reportVanished();
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
    const { options, relay, rescue, queueWatch, workers, queue, wakeUps, scheduler } = this.parts;
    for (const name of this.timers) {
      if (scheduler.doesExist('interval', name)) scheduler.deleteInterval(name);
    }
    const graceMs = options.shutdownTimeoutMs * GRACEFUL;
    const forceMs = (options.shutdownTimeoutMs - graceMs) / 2;
    await Promise.all([
      settleWithin(Promise.all([relay?.stop(), rescue?.stop(), queueWatch?.stop()]), graceMs),
      workers?.stop(graceMs, forceMs),
    ]);
    await settleWithin(Promise.all([queue?.close(forceMs), wakeUps?.close()]), forceMs);
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
