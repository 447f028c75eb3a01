import type {
  DomainEvent,
  EventActor,
  EventEntity,
  EventEnvelope,
} from '../../event/domain-event.js';
import type { EventDefinition } from '../../event/event-definition.js';
import { parsePayload } from '../../event/payload.js';
import type { OutboxRecord } from '../../store/event-store.js';

/** An event that was emitted, as it was saved. */
export interface RecordedEvent<Name extends string = string, Data = unknown> {
  readonly eventId: string;
  readonly name: Name;
  readonly version: number;
  /** As handlers get it: out of JSON. */
  readonly data: Data;
  readonly key: string | undefined;
  readonly entity: EventEntity | undefined;
  readonly actor: EventActor | undefined;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly causationId: string | undefined;
  readonly correlationId: string | undefined;
  /** The emit's own key. */
  readonly idempotencyKey: string | undefined;
  /** How long after the emit it is relayed, in ms. */
  readonly delayMs: number;
}

/** A definition, or the name of an event. */
export type EventRef = EventDefinition | string;

/** What an event of this definition (or of this name) carries, as handlers get it. */
export type DataOf<Event> = Event extends string
  ? // `any`: what is behind a plain name only the test knows.
    // oxlint-disable-next-line typescript/no-explicit-any
    any
  : DomainEvent<Event>['data'];

/** A {@link RecordedEvent} of this definition. */
export type Recorded<Event> =
  DomainEvent<Event> extends EventEnvelope<infer Name, infer _Data>
    ? RecordedEvent<Event extends string ? string : Name, DataOf<Event>>
    : never;

export function nameOf(event: EventRef): string {
  return typeof event === 'string' ? event : event.name;
}

export function toRecordedEvent(record: OutboxRecord): RecordedEvent {
  const { entityType, entityId, entityVersion, actorType, actorId } = record;
  return {
    eventId: record.eventId,
    name: record.name,
    version: record.version,
    ...parsePayload(record),
    key: record.key ?? undefined,
    entity:
      entityType === null || entityId === null
        ? undefined
        : {
            type: entityType,
            id: entityId,
            ...(entityVersion !== null && { version: entityVersion }),
          },
    actor: actorType === null || actorId === null ? undefined : { type: actorType, id: actorId },
    causationId: record.causationId ?? undefined,
    correlationId: record.correlationId ?? undefined,
    idempotencyKey: record.idempotencyKey ?? undefined,
    delayMs: record.delayMs ?? 0,
  };
}
