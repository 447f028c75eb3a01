import type { EntityManager, QueryRunner } from 'typeorm';
import {
  EventTransactionRequiredError,
  InvalidOptionsError,
  UnknownEventError,
} from '../errors.js';
import type { EventDefinition } from '../event/event-definition.js';
import type { EventRegistry } from '../event/event-registry.js';
import type { HandlerDirectory, HandlerInfo } from '../handle/handler-directory.js';
import type { Signals } from '../observability/signals.js';
import type { EventStore, OutboxRecord } from '../store/event-store.js';
import type { ActiveTransaction } from './active-transaction.js';
import type { Causation } from './causation.js';
import type { EmitOptions, EmittedEvent, Standalone } from './emit.options.js';
import type { EmitWindows } from './emit-window.js';
import { toOutboxRecord } from './outbox-record.js';

/** What `emit` takes as data: the schema's input, or anything for a plain name. */
export type EmitData<Event> =
  // `any`: the other type parameters are of no matter here.
  // oxlint-disable-next-line typescript/no-explicit-any
  Event extends EventDefinition<any, any, infer Input> ? Input : unknown;

type EventRef = EventDefinition | string;

/** One event of `emitMany`: `[definition or name, data, options?]`. */
export type EmitEntry<Event extends EventRef = EventRef> = readonly [
  event: Event,
  data: EmitData<Event>,
  options?: EmitOptions,
];

/** What an {@link EventBus} works with. */
export interface EventBusParts {
  readonly store: EventStore;
  readonly registry: EventRegistry;
  readonly directory: HandlerDirectory;
  readonly transactions: ActiveTransaction;
  readonly windows: EmitWindows;
  readonly causation: Causation;
  readonly signals: Signals;
  readonly options: { readonly standalone: Standalone; readonly maxDataBytes: number };
  /** Called after a standalone emit, and waited for; those in transactions tell it when they commit. */
  readonly onCommitted: () => void | Promise<void>;
}

/**
 * Emits events. Inject it wherever something happens:
 *
 * @example
 * await this.dataSource.transaction(async (manager) => {
 *   await manager.save(order);
 *   await this.events.emit(OrderPlaced, { orderId: order.id, total: 42 });
 * });
 */
export class EventBus {
  constructor(private readonly parts: EventBusParts) {}

  /**
   * Writes an event into the outbox, within the active transaction: it exists if and only if the
   * transaction commits. Resolves once the row is written.
   *
   * @throws EventTransactionRequiredError outside a transaction, unless `standalone: 'allow'`
   * @throws EventTransactionEndedError after the transaction's end
   * @throws EventTransactionFailedError if the database has undone the transaction, or a part of it
   * @throws WrongDataSourceError for a manager of another DataSource
   * @throws UnknownEventError for a name that nobody defines or handles
   * @throws DuplicateEventError for a definition that differs from the registered one
   * @throws InvalidEventDataError, UnserializableEventDataError, EventDataTooLargeError
   */
  async emit<Event extends EventRef>(
    event: Event,
    data: EmitData<Event>,
    options: EmitOptions = {},
  ): Promise<EmittedEvent> {
    const [emitted] = await this.emitMany([[event, data, options]] as unknown as [
      EmitEntry<Event>,
    ]);
    return emitted as EmittedEvent;
  }

  /**
   * Emits several events with one INSERT; all or none of them are written. Their order is kept.
   *
   * @throws as {@link emit}; the first bad event decides
   */
  async emitMany<const Events extends readonly EventRef[]>(
    entries: readonly [...{ [Index in keyof Events]: EmitEntry<Events[Index]> }],
  ): Promise<EmittedEvent[]> {
    const list = entries as readonly EmitEntry[];
    if (list.length === 0) return [];
    // Found before anything is awaited: the transaction is the one where emit was called.
    const runner = this.parts.transactions.find(commonManager(list));
    if (runner?.isTransactionActive === true) {
      const { windows, store } = this.parts;
      return windows.track(runner, async () => {
        const records = await this.prepare(list, runner);
        const append = () => store.append(records, runner);
        return this.publish(records, await windows.write(runner, append));
      });
    }
    if (runner !== undefined) this.parts.windows.assertNotEnded(runner);
    this.assertStandalone(list);
    const records = await this.prepare(list);
    const emitted = this.publish(records, await this.parts.store.append(records));
    await this.parts.onCommitted();
    return emitted;
  }

  /**
   * The handlers that will get this event: of this process, and of others as last read (at boot, and
   * where an event was emitted by a name that this process did not know).
   */
  handlersOf(event: EventRef): HandlerInfo[] {
    return this.parts.directory.handlersOf(typeof event === 'string' ? event : event.name);
  }

  /** Names of all known events, sorted. */
  events(): string[] {
    return this.parts.registry.names();
  }

  isRegistered(event: EventRef): boolean {
    return this.parts.registry.isRegistered(typeof event === 'string' ? event : event.name);
  }

  private assertStandalone(entries: readonly EmitEntry[]): void {
    for (const [, , options] of entries) {
      if ((options?.standalone ?? this.parts.options.standalone) === 'allow') continue;
      throw new EventTransactionRequiredError(
        options?.manager === undefined
          ? undefined
          : 'the manager passed to emit has no open transaction',
      );
    }
  }

  private async prepare(
    entries: readonly EmitEntry[],
    runner?: QueryRunner,
  ): Promise<OutboxRecord[]> {
    const cause = this.parts.causation.current();
    const defaults = { maxDataBytes: this.parts.options.maxDataBytes, ...cause };
    const records: OutboxRecord[] = [];
    // One after the other: ids in the order of the events, and the first bad one decides.
    for (const [event, data, options = {}] of entries) {
      const definition =
        typeof event === 'string'
          ? await this.definitionByName(event, options.version, runner)
          : this.definition(event, options.version);
      const record = toOutboxRecord(definition, data, options, defaults);
      // An await costs as much as the rest, where there is nothing to wait for.
      records.push(record instanceof Promise ? await record : record);
    }
    return records;
  }

  private definition(event: EventDefinition, version: number | undefined): EventDefinition {
    if (version !== undefined && version !== event.version) {
      throw new InvalidOptionsError(
        'emit.version',
        `is ${version}, but the definition of "${event.name}" has version ${event.version}. Emit ` +
          `by name to choose a version.`,
      );
    }
    this.parts.registry.register(event);
    return event;
  }

  private async definitionByName(
    event: string,
    version: number | undefined,
    runner: QueryRunner | undefined,
  ): Promise<EventDefinition> {
    try {
      return this.parts.registry.resolve(event, version);
    } catch (error) {
      // A handler may have been deployed elsewhere since this process looked last.
      if (!(error instanceof UnknownEventError) || !(await this.parts.directory.refresh(runner)))
        throw error;
      return this.parts.registry.resolve(event, version);
    }
  }

  private publish(
    records: readonly OutboxRecord[],
    appended: readonly { eventId: string; duplicate: boolean }[],
  ): EmittedEvent[] {
    return records.map(({ name, version }, index) => {
      const { eventId, duplicate } = appended[index] as { eventId: string; duplicate: boolean };
      const emitted = { eventId, name, version, duplicate };
      this.parts.signals.publish('event.emitted', emitted);
      return emitted;
    });
  }
}

/** One INSERT goes through one connection: entries may not name different managers. */
function commonManager(entries: readonly EmitEntry[]): EntityManager | undefined {
  const managers = new Set(entries.map(([, , options]) => options?.manager));
  if (managers.size <= 1) return managers.values().next().value;
  throw new InvalidOptionsError(
    'emitMany.manager',
    'differs between the events of one call. Give all of them the same manager, or none.',
  );
}
