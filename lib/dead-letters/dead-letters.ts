import { validate as isUuid } from 'uuid';
import { pageLimit } from '../common/page-limit.js';
import { InvalidOptionsError, UnknownHandlerError } from '../errors.js';
import { deliveryIdempotencyKey } from '../event/event-id.js';
import { parsePayload } from '../event/payload.js';
import type { ActionOptions, Operation, Operations } from '../operations/operations.js';
import { checkObject } from '../resolve-options.js';
import type {
  DeadLetterCriteria,
  DeadLetterRecord,
  DeadLetterStore,
} from '../store/dead-letter-store.js';
import type { EventStore } from '../store/event-store.js';
import { redriveTargets } from '../store/redrive-targets.js';
import { decodeCursor, encodeCursor } from './cursor.js';
import { toCriteria, toCriteriaOfChange, type DeadLetterFilter } from './dead-letter-filter.js';

/**
 * A delivery that ran out of attempts, can't be retried, or lost its handler. What it has of its event
 * is undefined where that was deleted from the log: it can't be redriven then, only discarded.
 */
export interface DeadLetter {
  readonly eventId: string | undefined;
  /** Name of the event. */
  readonly event: string | undefined;
  readonly version: number | undefined;
  readonly handler: string;
  /** Of the event in the log. */
  readonly position: number;
  /** Attempts made so far, over all redrives. */
  readonly attempts: number;
  readonly maxAttempts: number;
  /** How often it was redriven. */
  readonly redrives: number;
  readonly lastError: string | undefined;
  readonly occurredAt: Date | undefined;
  readonly deadAt: Date;
  /** The same for every attempt, before and after a redrive. */
  readonly idempotencyKey: string | undefined;
}

/** A failed attempt. */
export interface FailedAttemptInfo {
  /** Its number, from 1; goes on over redrives. */
  readonly attempt: number;
  /** How often the delivery had been redriven by then. */
  readonly redrives: number;
  readonly error: string;
  readonly failedAt: Date;
}

/** A dead letter with its event's data, and all that was tried. */
export interface DeadLetterDetails extends DeadLetter {
  /** Undefined where the event was deleted from the log. */
  readonly data: unknown;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly history: readonly FailedAttemptInfo[];
}

export interface DeadLetterPage {
  readonly items: readonly DeadLetter[];
  /** To be passed as `after` for the next page; undefined on the last one. */
  readonly next: string | undefined;
}

/** What {@link DeadLetters} works with. */
export interface DeadLettersParts {
  readonly store: DeadLetterStore;
  readonly events: EventStore;
  readonly operations: Operations;
  /** Called after a redrive: what is queued anew is to be pushed. */
  readonly onRedriven: () => void;
}

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 500;
const ACTION_OPTIONS: readonly (keyof ActionOptions)[] = ['by', 'reason'];

/**
 * Dead letters: look at them, queue them again, or give them up. Every change is written down, see
 * {@link Operations}.
 *
 * @example
 * const { items } = await deadLetters.list({ handler: 'mails.order-confirmation' });
 * await deadLetters.redrive({ event: 'order.placed', error: 'ECONNREFUSED' }, { by: 'ann' });
 */
export class DeadLetters {
  constructor(private readonly parts: DeadLettersParts) {}

  /**
   * Dead letters that match, the last died first.
   *
   * @param page.limit 1 to 500; default 50
   * @param page.after the `next` of the page before
   * @throws InvalidOptionsError
   */
  async list(
    filter: DeadLetterFilter = {},
    page: { limit?: number; after?: string } = {},
  ): Promise<DeadLetterPage> {
    checkObject(page, 'list', ['limit', 'after']);
    const limit = pageLimit(page.limit, DEFAULT_LIMIT, MAX_LIMIT);
    const after = page.after === undefined ? undefined : decodeCursor(page.after);
    // One more than asked tells whether there is another page.
    const records = await this.parts.store.list(toCriteria(filter), limit + 1, after);
    const shown = records.slice(0, limit);
    const last = records.length > limit ? shown.at(-1) : undefined;
    return { items: shown.map(toDeadLetter), next: last && encodeCursor(last) };
  }

  /**
   * One dead letter with its event and the history of its attempts; undefined: there is none.
   *
   * @param event its id, or its position
   */
  async get(event: string | number, handler: string): Promise<DeadLetterDetails | undefined> {
    const criteria = toEventCriteria(event);
    if (criteria === undefined || handler === '' || handler.includes('\0')) return undefined;
    const [record] = await this.parts.store.list({ ...criteria, handler }, 1);
    if (record === undefined) return undefined;
    const { position } = record;
    const [events, attempts] = await Promise.all([
      this.parts.events.readEvents([position]),
      this.parts.store.attempts(position, handler),
    ]);
    return {
      ...toDeadLetter(record),
      ...(events[0] === undefined ? { data: undefined, metadata: {} } : parsePayload(events[0])),
      history: attempts.map(({ attempt, epoch, error, failedAt }) => ({
        attempt,
        redrives: epoch,
        error,
        failedAt: new Date(failedAt),
      })),
    };
  }

  /**
   * Queues all dead letters that match again, with as many attempts as their handler has. They keep
   * their idempotency key. Those of retired handlers stay dead, and so do those whose event was
   * deleted from the log: {@link Operation.left} counts these.
   *
   * @example await deadLetters.redrive({ eventId, handler: 'mails.order-confirmation' });
   * @throws InvalidOptionsError where the filter would match everything and `all: true` is missing
   * @throws UnknownHandlerError where it names a handler that nobody has, or that was retired
   */
  async redrive(filter: DeadLetterFilter, options: ActionOptions = {}): Promise<Operation> {
    const criteria = toCriteriaOfChange(filter);
    checkObject(options, 'redrive', ACTION_OPTIONS);
    if (criteria.handler !== undefined) await this.assertTaken(criteria.handler);
    const { operations, store, onRedriven } = this.parts;
    try {
      return await operations.perform(
        'redrive',
        filter,
        options,
        (id, range) => store.redrive(id, criteria, range),
        () => store.countLost(criteria),
      );
    } finally {
      onRedriven();
    }
  }

  /**
   * Gives all dead letters that match up for good. They stay in the database, as discarded.
   *
   * @throws InvalidOptionsError without a reason, or where the filter would match everything and
   *   `all: true` is missing
   */
  async discard(
    filter: DeadLetterFilter,
    options: ActionOptions & { reason: string },
  ): Promise<Operation> {
    const criteria = toCriteriaOfChange(filter);
    checkObject(options, 'discard', ACTION_OPTIONS);
    const reason = checkedReason(options);
    const { operations, store } = this.parts;
    return operations.perform('discard', filter, options, (id, range) =>
      store.discard(id, criteria, reason, range),
    );
  }

  private async assertTaken(handler: string): Promise<void> {
    const targets = redriveTargets(await this.parts.events.handlers());
    if (!targets.has(handler)) throw new UnknownHandlerError(handler, [...targets.keys()]);
  }
}

/** What is given up for good needs a word why, also where no compiler asks for it. */
function checkedReason(options: { readonly reason?: unknown } | undefined): string {
  const reason = options?.reason;
  if (typeof reason === 'string' && reason.trim() !== '') return reason;
  throw new InvalidOptionsError('discard.reason', 'must say why, in a text that is not empty.');
}

function toEventCriteria(event: string | number): DeadLetterCriteria | undefined {
  if (typeof event === 'number') {
    return Number.isSafeInteger(event) ? { position: event } : undefined;
  }
  return isUuid(event) ? { eventId: event } : undefined;
}

function toDeadLetter(record: DeadLetterRecord): DeadLetter {
  const { event } = record;
  return {
    eventId: event?.eventId,
    event: event?.name,
    version: event?.version,
    handler: record.handler,
    position: record.position,
    attempts: record.attempts,
    maxAttempts: record.maxAttempts,
    redrives: record.epoch,
    lastError: record.lastError ?? undefined,
    occurredAt: event === null ? undefined : new Date(event.occurredAt),
    deadAt: new Date(record.deadAt),
    idempotencyKey:
      event === null ? undefined : deliveryIdempotencyKey(event.eventId, record.handler),
  };
}
