import type { EntityManager } from 'typeorm';
import type { EmitData } from '../emit/event-bus.js';
import { InvalidOptionsError } from '../errors.js';
import { encodeJson } from '../event/data-codec.js';
import type { DomainEvent, EventEnvelope } from '../event/domain-event.js';
import type { EventDefinition } from '../event/event-definition.js';
import { deliveryIdempotencyKey, newEventId } from '../event/event-id.js';
import { checkSchemaNow } from '../event/schema-check.js';
import { DEFAULTS } from '../events.options.js';
import { createHandlerContext, type HandlerContext } from '../handle/handler-context.js';

/** What {@link buildEvent} may be given of an event beside its data. */
export type EventOverrides = Partial<Omit<EventEnvelope, 'name' | 'version' | 'data'>>;

/** Whose idempotency key an event gets that is built for no handler in particular. */
const ANY_HANDLER = 'a-handler';

/**
 * An event as a handler would get it, for the unit test of one: the data is checked by the schema and
 * goes through JSON, `key` and `entity` are the definition's, and the rest has plausible values.
 *
 * @throws InvalidEventDataError, UnserializableEventDataError: what `emit` would refuse
 * @throws InvalidOptionsError for a schema that checks asynchronously
 * @example
 * await mails.confirm(buildEvent(OrderPlaced, { orderId: 'o1', total: 42 }), buildContext());
 */
// `any`: a definition of whatever name.
// oxlint-disable-next-line typescript/no-explicit-any
export function buildEvent<Event extends EventDefinition<any, any, any>>(
  definition: Event,
  data: EmitData<Event>,
  overrides: EventOverrides = {},
): DomainEvent<Event> {
  const { name, version } = definition;
  const checked = checkSchemaNow(definition, data);
  if (checked instanceof Promise) {
    // Nobody waits for it.
    checked.catch(() => undefined);
    throw new InvalidOptionsError(
      'buildEvent',
      `can't check the data of "${name}": its schema does so asynchronously. Give the handler an ` +
        `object of your own, or test it in a module.`,
    );
  }
  const json = encodeJson(name, 'data', checked, DEFAULTS.maxDataBytes);
  const eventId = overrides.eventId ?? newEventId();
  const event: EventEnvelope = {
    eventId,
    name,
    version,
    data: JSON.parse(json) as unknown,
    key: definition.key?.(checked),
    entity: definition.entity?.(checked),
    actor: undefined,
    metadata: {},
    occurredAt: new Date(),
    position: 1,
    idempotencyKey: deliveryIdempotencyKey(eventId, ANY_HANDLER),
    causationId: undefined,
    correlationId: undefined,
    ...overrides,
  };
  return event as DomainEvent<Event>;
}

/** What {@link buildContext} may be given. */
export interface ContextOverrides {
  readonly handlerId?: string;
  readonly attempt?: number;
  readonly maxAttempts?: number;
  readonly signal?: AbortSignal;
  /** For a `transactional` handler. */
  readonly manager?: EntityManager;
}

/** A handler's context, for the unit test of one: of the first of five attempts. */
export function buildContext({
  manager,
  signal = new AbortController().signal,
  ...overrides
}: ContextOverrides = {}): HandlerContext {
  const facts = {
    handlerId: ANY_HANDLER,
    attempt: 1,
    maxAttempts: DEFAULTS.defaults.attempts,
    ...overrides,
  };
  return createHandlerContext(facts, () => signal, manager);
}
