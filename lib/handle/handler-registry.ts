import { HandlerInUseError, UnknownHandlerError } from '../errors.js';
import type { Signals } from '../observability/signals.js';
import type { ActionOptions, Operation, Operations } from '../operations/operations.js';
import type { DeadLetterStore } from '../store/dead-letter-store.js';
import { checkObject } from '../resolve-options.js';
import type { EventStore, HandlerRecord } from '../store/event-store.js';
import { GONE_MS } from '../store/handler-row.js';
import type { HandlerDirectory } from './handler-directory.js';

/** A handler as known to the database, of whichever process. */
export interface RegisteredHandlerInfo {
  readonly id: string;
  readonly aliases: readonly string[];
  readonly events: readonly string[];
  readonly queue: string;
  readonly maxAttempts: number;
  readonly transactional: boolean;
  readonly firstSeenAt: Date;
  /** Renewed about every minute by each process that has it. */
  readonly lastSeenAt: Date;
  /** Undefined: it gets deliveries. */
  readonly retiredAt: Date | undefined;
}

/** What a {@link HandlerRegistry} works with. */
export interface HandlerRegistryParts {
  readonly store: EventStore;
  readonly deadLetters: DeadLetterStore;
  readonly directory: HandlerDirectory;
  readonly operations: Operations;
  readonly signals: Signals;
}

/** The handlers of all processes, as registered in the database. */
export class HandlerRegistry {
  private readonly reported = new Set<string>();

  constructor(private readonly parts: HandlerRegistryParts) {}

  /** All handlers ever seen, by id, retired ones included. */
  async list(): Promise<RegisteredHandlerInfo[]> {
    return (await this.parts.store.handlerRecords()).map(toInfo);
  }

  /**
   * For a handler whose code is gone for good: it gets no new deliveries, and those that wait for it
   * become dead letters with the reason. A process that still has it and boots again brings it back.
   * What others hold for longer than some 6 s is {@link Operation.left}: processes that boot or have
   * handlers finish it, and so does another call.
   *
   * @param options.force retire it although a process was seen with it a moment ago
   * @throws InvalidOptionsError
   * @throws UnknownHandlerError
   * @throws HandlerInUseError without `force`, for two and a half minutes after its last process ended
   */
  async retire(id: string, options: ActionOptions & { force?: boolean } = {}): Promise<Operation> {
    checkObject(options, 'retire', ['by', 'reason', 'force']);
    const { store, directory, deadLetters, operations } = this.parts;
    const records = await store.handlerRecords();
    const record = records.find((each) => each.id === id);
    if (record === undefined) {
      const known = records.map((each) => each.id);
      throw new UnknownHandlerError(id, known);
    }
    const inUse = directory.findLocal(id) !== undefined || record.unseenMs < GONE_MS;
    if (inUse && record.retiredAt === null && options.force !== true) {
      throw new HandlerInUseError(id, record.unseenMs);
    }
    const names = namesOf(record, records);
    let passedOver = false;
    return operations.perform(
      'retire',
      { handler: id },
      options,
      async (operation, range) => {
        await store.retireHandler(id);
        const batch = await deadLetters.bury(operation, names, epitaph(options.reason), range);
        passedOver = batch.passedOver === true;
        return batch;
      },
      async () => (passedOver ? sum(await store.waiting(names)) : 0),
    );
  }

  /**
   * Makes dead what still waits for retired handlers: somebody held it for long, or the process that
   * retired them died on the way. Bounded; what is held now is left to the next time.
   */
  async finishRetirements(): Promise<void> {
    const { store, deadLetters, operations } = this.parts;
    const records = await store.handlerRecords();
    const retired = records
      .filter(({ retiredAt }) => retiredAt !== null)
      .map((record) => ({ id: record.id, names: namesOf(record, records) }));
    if (retired.length === 0) return;
    const waiting = await store.waiting(retired.flatMap(({ names }) => names));
    for (const { id, names } of retired) {
      if (!names.some((name) => waiting.has(name))) continue;
      await operations.resume('retire', { handler: id }, (operation, range, reason) =>
        deadLetters.bury(operation, names, epitaph(reason ?? undefined), range),
      );
    }
  }

  /**
   * Tells, once each, of handlers that nobody has any more while deliveries wait for them: renamed
   * without an alias, moved to a process that does not run, removed, or retired while somebody held
   * them.
   */
  async reportVanished(): Promise<void> {
    const { store, directory, signals } = this.parts;
    const records = await store.handlerRecords();
    const gone = records.filter(
      ({ id, retiredAt, unseenMs }) =>
        (retiredAt !== null || (unseenMs >= GONE_MS && directory.findLocal(id) === undefined)) &&
        !this.reported.has(id) &&
        !records.some((other) => other.retiredAt === null && other.aliases.includes(id)),
    );
    if (gone.length === 0) return;
    const waiting = await store.waiting(gone.map(({ id }) => id));
    for (const { id, lastSeenAt, retiredAt } of gone) {
      const deliveries = waiting.get(id);
      if (deliveries === undefined) continue;
      this.reported.add(id);
      signals.publish('handler.vanished', {
        handler: id,
        deliveries,
        lastSeenAt,
        retired: retiredAt !== null,
      });
    }
  }
}

/** Ids under which deliveries wait for this handler and no other one. */
function namesOf(record: HandlerRecord, records: readonly HandlerRecord[]): string[] {
  const others = records.filter(({ id, retiredAt }) => id !== record.id && retiredAt === null);
  const taken = new Set(others.flatMap(({ id, aliases }) => [id, ...aliases]));
  return [record.id, ...record.aliases].filter((name) => !taken.has(name));
}

/** The last error of a delivery whose handler was retired. */
function epitaph(reason: string | undefined): string {
  return `The handler was retired${reason === undefined ? '' : `: ${reason}`}`;
}

function sum(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((total, count) => total + count, 0);
}

function toInfo(record: HandlerRecord): RegisteredHandlerInfo {
  const { id, aliases, events, queue, maxAttempts, transactional } = record;
  return {
    id,
    aliases,
    events,
    queue,
    maxAttempts,
    transactional,
    firstSeenAt: new Date(record.firstSeenAt),
    lastSeenAt: new Date(record.lastSeenAt),
    retiredAt: record.retiredAt === null ? undefined : new Date(record.retiredAt),
  };
}
