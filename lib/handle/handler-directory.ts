import type { QueryRunner } from 'typeorm';
import type { EventRegistry } from '../event/event-registry.js';
import type { EventStore, RegisteredHandler } from '../store/event-store.js';
import type { HandlerDefinition } from './handler-definition.js';

/** A handler, as `EventBus.handlersOf` shows it. */
export interface HandlerInfo {
  readonly id: string;
  readonly events: readonly string[];
  readonly queue: string;
  readonly maxAttempts: number;
  readonly priority: number;
  readonly transactional: boolean;
  /** Whether its code is in this process. */
  readonly local: boolean;
}

/** The database is asked for handlers of other processes at most this often. */
const REFRESH_MS = 1_000;

/** The handlers in this process's code, and those of other processes as last read. */
export class HandlerDirectory {
  /** Id or alias → handler in this process. */
  private readonly local = new Map<string, HandlerDefinition>();
  private remote: readonly RegisteredHandler[] = [];
  private refreshedAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly store: EventStore,
    private readonly registry: EventRegistry,
  ) {}

  addLocal(handlers: readonly HandlerDefinition[]): void {
    for (const handler of handlers) {
      for (const definition of handler.definitions) this.registry.register(definition);
      for (const name of handler.events) this.registry.registerName(name);
      for (const id of [handler.id, ...handler.aliases]) this.local.set(id, handler);
    }
  }

  /** The handlers in this process's code. */
  locals(): HandlerDefinition[] {
    return [...new Set(this.local.values())];
  }

  /** The handler with this id or alias in this process. */
  findLocal(id: string): HandlerDefinition | undefined {
    return this.local.get(id);
  }

  handlersOf(event: string): HandlerInfo[] {
    const locals = this.locals();
    const elsewhere = this.remote.filter(({ id }) => !this.local.has(id));
    return [...locals, ...elsewhere]
      .filter(({ events }) => events.includes(event))
      .map(({ id, events, queue, maxAttempts, priority, transactional }) => ({
        id,
        events,
        queue,
        maxAttempts,
        priority,
        transactional,
        local: this.local.has(id),
      }));
  }

  /**
   * Reads the handlers of all processes; false where that was done a moment ago.
   *
   * @param runner read through this connection: whoever holds it must not wait for another (A11)
   */
  async refresh(runner?: QueryRunner): Promise<boolean> {
    const now = performance.now();
    if (now - this.refreshedAt < REFRESH_MS) return false;
    this.remote = await this.store.handlers(runner);
    this.refreshedAt = now;
    for (const { events } of this.remote) {
      for (const name of events) this.registry.registerName(name);
    }
    return true;
  }
}
