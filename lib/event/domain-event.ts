import type { EventDefinition } from './event-definition.js';

/** What an event is about. */
export interface EventEntity {
  readonly type: string;
  readonly id: string;
  /** The entity's version after this event, a whole number, where the application counts them. */
  readonly version?: number;
}

/** Who caused an event. */
export interface EventActor {
  readonly type: string;
  readonly id: string;
}

/** A type as it is after `JSON.parse(JSON.stringify(value))`: dates are strings, and so on. */
export type Serialized<T> = unknown extends T
  ? T
  : T extends string | number | boolean | null | undefined
    ? T
    : T extends { toJSON(...args: never[]): infer Json }
      ? Json
      : { [Key in keyof T]: Serialized<T[Key]> };

/**
 * What a handler gets.
 *
 * @typeParam Of an event definition (`DomainEvent<typeof OrderPlaced>`), a union of them, or the
 *   type of the data
 */
export type DomainEvent<Of = unknown> =
  // `any`: the input type is of no matter here, and may be anything.
  // oxlint-disable-next-line typescript/no-explicit-any
  Of extends EventDefinition<infer Name, infer Data, any>
    ? EventEnvelope<Name, Serialized<Data>>
    : EventEnvelope<string, Of>;

/** An event with what the library knows about it. */
export interface EventEnvelope<Name extends string = string, Data = unknown> {
  /** UUIDv7, made by `emit`; the same for every handler. */
  readonly eventId: string;
  readonly name: Name;
  readonly version: number;
  readonly data: Data;
  readonly key: string | undefined;
  readonly entity: EventEntity | undefined;
  readonly actor: EventActor | undefined;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly occurredAt: Date;
  /** Place in the event log of the namespace: 1, 2, 3, … */
  readonly position: number;
  /**
   * UUIDv5 of event and handler: the same for every attempt, rescue and redrive of this delivery.
   * Give it to other systems as their idempotency key.
   */
  readonly idempotencyKey: string;
  /** The event whose handler emitted this one, where there is one. */
  readonly causationId: string | undefined;
  /** Shared by all events of one business operation. */
  readonly correlationId: string | undefined;
}
