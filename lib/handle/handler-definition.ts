import { parseDuration } from '../common/duration.js';
import { nearest } from '../common/nearest.js';
import { InvalidHandlerError, UnknownQueueError } from '../errors.js';
import type { DomainEvent } from '../event/domain-event.js';
import type { EventDefinition } from '../event/event-definition.js';
import { isEventName, isHandlerId } from '../event/names.js';
import type { RegisteredHandler } from '../store/event-store.js';
import { resolveBackoff, type ResolveDelay } from './backoff.js';
import type { HandlerMetadata } from './event-handler.decorator.js';
import type { HandlerContext } from './handler-context.js';
import type { HandlerOptions } from './handler.options.js';

/** BullMQ's limit. */
export const MAX_PRIORITY = 2_097_151;
/** Timers count in 32 bits; a longer wait would fire at once. */
const MAX_TIMEOUT_MS = 2_147_483_647;

/** Events of one batch, which come in one job: 16 MB, where all are as large as may travel in jobs. */
const MAX_BATCH = 1_000;
/** A batch that waits holds up a shutdown. */
const MAX_BATCH_WAIT_MS = 5_000;

/** A handler found in the code, with all its options settled. */
export interface HandlerDefinition extends RegisteredHandler {
  /** Where it is, for messages: `Mails.confirm (in MailModule)`. */
  readonly place: string;
  /** Those of its events that have a definition here. */
  readonly definitions: readonly EventDefinition[];
  /** The wait after a failed attempt. */
  readonly delayAfter: ResolveDelay;
  /** 0: no limit. */
  readonly timeoutMs: number;
  /** Of one that takes several events at once. */
  readonly batch: { readonly size: number; readonly waitMs: number } | undefined;
  /** A batch handler gets a list of events, and its result may be a `BatchResult`. */
  invoke(events: DomainEvent | readonly DomainEvent[], context: HandlerContext): Promise<unknown>;
}

export interface HandlerDefaults {
  readonly attempts: number;
  readonly priority: number;
  readonly timeoutMs: number;
  readonly delayAfter: ResolveDelay;
  /** The configured queues. */
  readonly queues: readonly { readonly queue: string; readonly limiter: object | undefined }[];
}

/**
 * Settles a decorator's options against the module's defaults.
 *
 * @throws InvalidHandlerError | UnknownQueueError
 */
export function defineHandler(
  { events, options }: HandlerMetadata,
  source: { place: string; defaultId: string; invoke: HandlerDefinition['invoke'] },
  defaults: HandlerDefaults,
): HandlerDefinition {
  const refuse = (problem: string): never => {
    throw new InvalidHandlerError(source.place, problem);
  };
  rejectUnknown(options, refuse);
  const names = events.map((event) => (typeof event === 'string' ? event : event.name));
  if (names.length === 0) refuse('names no event.');
  const badName = names.find((name) => !isEventName(name));
  if (badName !== undefined) refuse(`"${badName}" is not a valid event name.`);
  const id = options.id ?? source.defaultId;
  const aliases = options.aliases ?? [];
  const badId = [id, ...aliases].find((each) => !isHandlerId(each));
  if (badId !== undefined) refuse(`"${badId}" is not a valid handler id.`);
  const queue = queueOf(options, source.place, defaults.queues);
  const batch = batchOf(options, refuse);
  if (batch !== undefined && queue.limiter !== undefined) {
    refuse(
      `is a batch handler in the queue "${queue.queue}", whose limiter counts single deliveries. Give it ` +
        'a queue without a limiter.',
    );
  }
  const perJob = queue.limiter === undefined ? undefined : 1;
  return {
    id,
    aliases: aliases.filter((alias) => alias !== id),
    events: [...new Set(names)],
    definitions: events.filter((event) => typeof event !== 'string'),
    queue: queue.queue,
    ...(perJob !== undefined && { perJob }),
    ...(batch !== undefined && { batchSize: batch.size }),
    maxAttempts: wholeNumber(options.attempts, defaults.attempts, 'attempts', 1_000_000, refuse),
    priority: wholeNumber(options.priority, defaults.priority, 'priority', MAX_PRIORITY, refuse),
    timeoutMs: timeoutOf(options, defaults, refuse),
    batch,
    delayAfter: backoffOf(options, defaults, refuse),
    transactional: options.transactional ?? false,
    place: source.place,
    invoke: source.invoke,
  };
}

/** The part that is kept in the database. */
export function toRegistered(handler: HandlerDefinition): RegisteredHandler {
  const { id, aliases, events, queue, maxAttempts, priority, transactional } = handler;
  const { perJob, batchSize } = handler;
  return {
    id,
    aliases,
    events,
    queue,
    maxAttempts,
    priority,
    transactional,
    ...(perJob !== undefined && { perJob }),
    ...(batchSize !== undefined && { batchSize }),
  };
}

type Refuse = (problem: string) => never;

const KNOWN_OPTIONS: readonly (keyof HandlerOptions)[] = [
  'id',
  'aliases',
  'queue',
  'transactional',
  'attempts',
  'backoff',
  'timeout',
  'priority',
  'batch',
];

function rejectUnknown(options: HandlerOptions, refuse: Refuse): void {
  for (const key of Object.keys(options)) {
    if (KNOWN_OPTIONS.some((known) => known === key)) continue;
    const suggestion = nearest(key, KNOWN_OPTIONS);
    refuse(
      `unknown option "${key}"${suggestion === undefined ? '' : ` (did you mean "${suggestion}"?)`}.`,
    );
  }
}

function queueOf(options: HandlerOptions, place: string, queues: HandlerDefaults['queues']) {
  const name = options.queue ?? 'default';
  const found = queues.find(({ queue }) => queue === name);
  if (found !== undefined) return found;
  const names = queues.map(({ queue }) => queue);
  throw new UnknownQueueError(place, name, names, nearest(name, names));
}

function wholeNumber(
  value: number | undefined,
  fallback: number,
  option: string,
  max: number,
  refuse: Refuse,
): number {
  if (value === undefined) return fallback;
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  return refuse(`${option} is ${String(value)}; use a whole number from 1 to ${max}.`);
}

function timeoutOf(options: HandlerOptions, defaults: HandlerDefaults, refuse: Refuse): number {
  if (options.timeout === undefined) return defaults.timeoutMs;
  const ms = parseDuration(options.timeout);
  if (ms !== undefined && ms <= MAX_TIMEOUT_MS) return ms;
  return refuse(
    `timeout is ${JSON.stringify(options.timeout)}; use '30s' or milliseconds, at most 24 days.`,
  );
}

function batchOf({ batch }: HandlerOptions, refuse: Refuse): HandlerDefinition['batch'] {
  if (batch === undefined) return undefined;
  const problem = (what: string) =>
    refuse(
      `batch is ${JSON.stringify(batch)}; use { size: 1 to ${MAX_BATCH}, wait?: '20ms' }${what}.`,
    );
  if (typeof batch !== 'object' || batch === null) return problem('');
  const unknown = Object.keys(batch).find((key) => key !== 'size' && key !== 'wait');
  if (unknown !== undefined) return problem(`, without "${unknown}"`);
  const { size, wait = 0 } = batch;
  if (!Number.isInteger(size) || size < 1 || size > MAX_BATCH) return problem('');
  const waitMs = parseDuration(wait);
  if (waitMs === undefined || waitMs > MAX_BATCH_WAIT_MS) return problem(', waiting at most 5 s');
  return { size, waitMs };
}

function backoffOf(options: HandlerOptions, defaults: HandlerDefaults, refuse: Refuse) {
  if (options.backoff === undefined) return defaults.delayAfter;
  return (
    resolveBackoff(options.backoff) ??
    refuse(
      `backoff is ${JSON.stringify(options.backoff)}; use a duration, { type: 'fixed' | 'exponential', ` +
        `delay, jitter?: 0 to 1, max? } or a function.`,
    )
  );
}
