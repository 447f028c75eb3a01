import { nearest } from './common/nearest.js';

/**
 * Every error this library throws on purpose extends {@link EventsError} and carries a stable
 * `code`. Messages say what happened, to what, and what to do; they never contain event data.
 */

/** The table of codes. Codes are part of the public API and are never renamed. */
export const EVENTS_ERROR_CODES = {
  INVALID_OPTIONS: 'EVENTS_INVALID_OPTIONS',
  INVALID_DEFINITION: 'EVENTS_INVALID_DEFINITION',
  DUPLICATE_EVENT: 'EVENTS_DUPLICATE_EVENT',
  UNKNOWN_EVENT: 'EVENTS_UNKNOWN_EVENT',
  INVALID_DATA: 'EVENTS_INVALID_DATA',
  UNSERIALIZABLE_DATA: 'EVENTS_UNSERIALIZABLE_DATA',
  DATA_TOO_LARGE: 'EVENTS_DATA_TOO_LARGE',
  TRANSACTION_REQUIRED: 'EVENTS_TRANSACTION_REQUIRED',
  TRANSACTION_ENDED: 'EVENTS_TRANSACTION_ENDED',
  TRANSACTION_FAILED: 'EVENTS_TRANSACTION_FAILED',
  WRONG_DATA_SOURCE: 'EVENTS_WRONG_DATA_SOURCE',
  DUPLICATE_HANDLER: 'EVENTS_DUPLICATE_HANDLER',
  INVALID_HANDLER: 'EVENTS_INVALID_HANDLER',
  UNKNOWN_QUEUE: 'EVENTS_UNKNOWN_QUEUE',
  UNKNOWN_HANDLER: 'EVENTS_UNKNOWN_HANDLER',
  HANDLER_IN_USE: 'EVENTS_HANDLER_IN_USE',
  UNSUPPORTED_DATABASE: 'EVENTS_UNSUPPORTED_DATABASE',
  SCHEMA_OUTDATED: 'EVENTS_SCHEMA_OUTDATED',
  QUEUE_UNAVAILABLE: 'EVENTS_QUEUE_UNAVAILABLE',
  HANDLER_TIMEOUT: 'EVENTS_HANDLER_TIMEOUT',
  UNRECOVERABLE: 'EVENTS_UNRECOVERABLE',
  SHUTTING_DOWN: 'EVENTS_SHUTTING_DOWN',
} as const;

export type EventsErrorCode = (typeof EVENTS_ERROR_CODES)[keyof typeof EVENTS_ERROR_CODES];

/** Base of all errors of this library: `catch (error) { if (error instanceof EventsError) … }`. */
export abstract class EventsError extends Error {
  abstract readonly code: EventsErrorCode;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** A module option is unknown or has a value that can't be used. Thrown at boot. */
export class InvalidOptionsError extends EventsError {
  readonly code = EVENTS_ERROR_CODES.INVALID_OPTIONS;

  constructor(
    /** Path of the option, such as `relay.pollInterval`. */
    readonly option: string,
    problem: string,
  ) {
    super(`EventsModule: option "${option}" ${problem}`);
  }
}

/** `defineEvent` was given a name, version or function that can't be used. */
export class InvalidEventDefinitionError extends EventsError {
  readonly code = EVENTS_ERROR_CODES.INVALID_DEFINITION;

  constructor(
    readonly eventName: string,
    problem: string,
  ) {
    super(`Event "${eventName}": ${problem}`);
  }
}

/** Two different definitions share one name and version. Thrown at boot, or by the first emit. */
export class DuplicateEventError extends EventsError {
  readonly code = EVENTS_ERROR_CODES.DUPLICATE_EVENT;

  constructor(
    readonly eventName: string,
    readonly version: number,
  ) {
    super(
      `Event "${eventName}" version ${version} is defined twice, differently. Keep one ` +
        `defineEvent('${eventName}') and import it everywhere, or give the changed one a new version.`,
    );
  }
}

/** Nobody defines or handles an event of this name. Nothing was written. */
export class UnknownEventError extends EventsError {
  readonly code = EVENTS_ERROR_CODES.UNKNOWN_EVENT;

  constructor(
    readonly eventName: string,
    readonly suggestion: string | undefined,
  ) {
    super(
      `Unknown event "${eventName}"${suggestion === undefined ? '' : ` (did you mean "${suggestion}"?)`}. ` +
        `Register its definition with EventsModule.forFeature([…]) or add an @EventHandler for it.`,
    );
  }
}

/** One violation of an event's schema. */
export interface EventDataIssue {
  /** Where in the data, such as `items[0].sku`; empty for the data itself. */
  readonly path: string;
  readonly message: string;
}

/** Event data does not fit the schema of its definition. Nothing was written. */
export class InvalidEventDataError extends EventsError {
  readonly code = EVENTS_ERROR_CODES.INVALID_DATA;

  constructor(
    readonly eventName: string,
    readonly issues: readonly EventDataIssue[],
  ) {
    const list = issues.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`));
    super(`The data of event "${eventName}" does not fit its schema: ${list.join('; ')}`);
  }
}

/** Event data holds something that JSON or the database would lose or change. Nothing was written. */
export class UnserializableEventDataError extends EventsError {
  readonly code = EVENTS_ERROR_CODES.UNSERIALIZABLE_DATA;

  constructor(
    readonly eventName: string,
    /** Where, such as `data.items[0].price` or `metadata.trace`. */
    readonly path: string,
    problem: string,
  ) {
    super(`Event "${eventName}" can't be stored faithfully: ${path} ${problem}`);
  }
}

/** Event data is larger than `maxDataBytes`. Nothing was written. */
export class EventDataTooLargeError extends EventsError {
  readonly code = EVENTS_ERROR_CODES.DATA_TOO_LARGE;

  constructor(
    readonly eventName: string,
    /** Size of the JSON text in bytes (UTF-8). */
    readonly bytes: number,
    readonly maxBytes: number,
    field: string,
  ) {
    super(
      `The ${field} of event "${eventName}" takes ${bytes} bytes as JSON, more than the ${maxBytes} allowed. ` +
        `Store the large part elsewhere and emit a reference, or raise "maxDataBytes".`,
    );
  }
}

/** `emit` was called outside a transaction. Nothing was written. */
export class EventTransactionRequiredError extends EventsError {
  readonly code = EVENTS_ERROR_CODES.TRANSACTION_REQUIRED;

  constructor(reason = 'no active transaction was found') {
    super(
      `emit needs a transaction, so that the event and your data are saved together: ${reason}. ` +
        `Call it inside dataSource.transaction(…), pass { manager }, or, if nothing else is saved ` +
        `with this event, pass { standalone: 'allow' }.`,
    );
  }
}

/** `emit` was called after its transaction ended. Nothing was written. */
export class EventTransactionEndedError extends EventsError {
  readonly code = EVENTS_ERROR_CODES.TRANSACTION_ENDED;

  constructor() {
    super(
      'emit was called after its transaction had ended or had begun to commit or roll back. Await ' +
        'every emit inside the transaction; with Promise.all, a failing sibling ends it early.',
    );
  }
}

/**
 * A transaction in which events were emitted is about to "commit" although the database will roll it
 * back, or has undone it (or a part of it) already; `emit` throws it then too.
 */
export class EventTransactionFailedError extends EventsError {
  readonly code = EVENTS_ERROR_CODES.TRANSACTION_FAILED;

  constructor(
    message = 'A statement failed in this transaction and its error was swallowed: the database would answer ' +
      'COMMIT with a rollback. Nothing was saved, neither data nor events. Let the error through, or ' +
      'run the statement that may fail in a nested transaction.',
  ) {
    super(message);
  }
}

/** The manager given to `emit` belongs to another DataSource. Nothing was written. */
export class WrongDataSourceError extends EventsError {
  readonly code = EVENTS_ERROR_CODES.WRONG_DATA_SOURCE;

  constructor() {
    super(
      'The manager passed to emit belongs to another DataSource than the one EventsModule uses, so event ' +
        "and data can't be saved in one transaction. Pass a manager of the DataSource named in the " +
        '"dataSource" option.',
    );
  }
}

/** Two handlers have one id. Thrown at boot. */
export class DuplicateHandlerError extends EventsError {
  readonly code = EVENTS_ERROR_CODES.DUPLICATE_HANDLER;

  constructor(
    readonly handlerId: string,
    readonly places: readonly [string, string],
  ) {
    super(
      `Two event handlers have the id "${handlerId}": ${places[0]} and ${places[1]}. Give one of them ` +
        `another id, @EventHandler(…, { id: '…' }), or provide the class in one module only.`,
    );
  }
}

/** An `@EventHandler` has an option that can't be used. Thrown at boot. */
export class InvalidHandlerError extends EventsError {
  readonly code = EVENTS_ERROR_CODES.INVALID_HANDLER;

  constructor(
    readonly place: string,
    problem: string,
  ) {
    super(`@EventHandler on ${place}: ${problem}`);
  }
}

/** A handler names a queue that is not configured. Thrown at boot. */
export class UnknownQueueError extends EventsError {
  readonly code = EVENTS_ERROR_CODES.UNKNOWN_QUEUE;

  constructor(
    readonly place: string,
    readonly queue: string,
    known: readonly string[],
    suggestion: string | undefined,
  ) {
    super(
      `@EventHandler on ${place} names the queue "${queue}", which is not configured` +
        `${suggestion === undefined ? '' : ` (did you mean "${suggestion}"?)`}. ` +
        `Known queues: ${known.join(', ')}. Add it to the "queues" option.`,
    );
  }
}

/** An operator's call names a handler that is not registered, or was retired. Nothing was changed. */
export class UnknownHandlerError extends EventsError {
  readonly code = EVENTS_ERROR_CODES.UNKNOWN_HANDLER;

  constructor(
    readonly handlerId: string,
    known: readonly string[],
  ) {
    const suggestion = nearest(handlerId, known);
    super(
      `No handler "${handlerId}" is registered, or it was retired` +
        `${suggestion === undefined ? '' : ` (did you mean "${suggestion}"?)`}. ` +
        `HandlerRegistry.list() tells those that are; a process registers its handlers when it boots.`,
    );
  }
}

/** A handler can't be retired while a process has it. Nothing was changed. */
export class HandlerInUseError extends EventsError {
  readonly code = EVENTS_ERROR_CODES.HANDLER_IN_USE;

  constructor(
    readonly handlerId: string,
    /** How long ago a process said that it has it, in ms. */
    readonly seenMsAgo: number,
  ) {
    super(
      `Handler "${handlerId}" was there ${Math.round(seenMsAgo / 1_000)} s ago: a process that has it ` +
        `runs, or ended just now. Deploy without it and try again in a few minutes, or pass { force: true }.`,
    );
  }
}

/** The DataSource's database is not supported, or needs an option. Thrown at boot. */
export class UnsupportedDatabaseError extends EventsError {
  readonly code = EVENTS_ERROR_CODES.UNSUPPORTED_DATABASE;

  constructor(
    readonly databaseType: string,
    problem: string,
  ) {
    super(`EventsModule on a DataSource of type "${databaseType}": ${problem}`);
  }
}

/** The tables of this library are missing or of an older version. Thrown at boot in production. */
export class EventsSchemaOutdatedError extends EventsError {
  readonly code = EVENTS_ERROR_CODES.SCHEMA_OUTDATED;

  constructor(
    readonly foundVersion: number,
    readonly neededVersion: number,
    what: string,
    howTo: string,
  ) {
    super(`${what} (found version ${foundVersion}, needed ${neededVersion}). ${howTo}`);
  }
}

/** The queue can't be reached right now. Events are safe in the database; delivery goes on later. */
export class QueueUnavailableError extends EventsError {
  readonly code = EVENTS_ERROR_CODES.QUEUE_UNAVAILABLE;

  constructor(
    readonly target: string,
    reason: string,
    options?: ErrorOptions,
  ) {
    super(`The queue at ${target} can't be reached: ${reason}`, options);
  }
}

/** A handler ran longer than its timeout. Counts as a failed attempt. */
export class HandlerTimeoutError extends EventsError {
  readonly code = EVENTS_ERROR_CODES.HANDLER_TIMEOUT;

  constructor(
    readonly handlerId: string,
    readonly timeoutMs: number,
  ) {
    super(
      `Handler "${handlerId}" did not end within ${timeoutMs} ms. Its context.signal was aborted; ` +
        `pass it on to what you await, or raise "timeout".`,
    );
  }
}

/**
 * Throw it from a handler when trying again can't help: the delivery goes straight to the dead letters.
 *
 * @example throw new UnrecoverableEventError(`order ${id} was deleted`);
 */
export class UnrecoverableEventError extends EventsError {
  readonly code = EVENTS_ERROR_CODES.UNRECOVERABLE;
}

/** Why `context.signal` aborts when the process shuts down. Costs no attempt. */
export class ShuttingDownError extends EventsError {
  readonly code = EVENTS_ERROR_CODES.SHUTTING_DOWN;

  constructor() {
    super('The process is shutting down; the delivery will be tried again elsewhere or later.');
  }
}
