import type { StandardSchemaV1 } from '@standard-schema/spec';
import { InvalidEventDefinitionError } from '../errors.js';
import { isEventName, MAX_NAME_LENGTH } from './names.js';
import type { EventEntity } from './domain-event.js';

/** `domain` (default): a fact of the business. `application`: a fact of the software around it. */
export type EventCategory = 'domain' | 'application';

/**
 * What an event is: its name, version, schema and how to read its key and entity from its data.
 * Made by {@link defineEvent}, shared by emitters and handlers.
 *
 * @typeParam Data what a handler gets, before JSON (the schema's output)
 * @typeParam Input what `emit` takes (the schema's input)
 */
export interface EventDefinition<Name extends string = string, Data = unknown, Input = Data> {
  readonly name: Name;
  /** Version of the data's shape, from 1. Default 1. */
  readonly version: number;
  readonly category: EventCategory;
  readonly schema: StandardSchemaV1<Input, Data> | undefined;
  // Methods, so that a definition of a narrower event is assignable to EventDefinition.
  key?(data: Data): string | undefined;
  entity?(data: Data): EventEntity | undefined;
  /** Type only: what `emit` takes. */
  readonly '~input'?: Input;
}

export interface EventDefinitionOptions<Data> {
  /** Version of the data's shape, a whole number from 1. Default 1. */
  version?: number;
  /** Events with one key are related; ordered consumers keep their order. Optional. */
  key?: (data: Data) => string | undefined;
  /** What the event is about; `EventLog` finds a thing's events by it. Optional. */
  entity?: (data: Data) => EventEntity | undefined;
  /** Default `domain`. */
  category?: EventCategory;
}

/**
 * Defines an event once, for emitters and handlers.
 *
 * @param name letters, digits, `.`, `_`, `-`, `:`, `/`; at most 200 characters; past tense reads best
 * @throws InvalidEventDefinitionError if the name or the version can't be used
 * @example
 * const OrderPlaced = defineEvent('order.placed', {
 *   schema: z.object({ orderId: z.string(), total: z.number() }),
 *   entity: (data) => ({ type: 'order', id: data.orderId }),
 * });
 * const Ping = defineEvent<{ at: string }>('ping');
 */
export function defineEvent<const Name extends string, Schema extends StandardSchemaV1>(
  name: Name,
  options: EventDefinitionOptions<StandardSchemaV1.InferOutput<Schema>> & { schema: Schema },
): EventDefinition<Name, StandardSchemaV1.InferOutput<Schema>, StandardSchemaV1.InferInput<Schema>>;
export function defineEvent<Data = unknown>(
  name: string,
  options?: EventDefinitionOptions<Data> & { schema?: never },
): EventDefinition<string, Data>;
export function defineEvent(
  name: string,
  options: EventDefinitionOptions<unknown> & { schema?: StandardSchemaV1 } = {},
): EventDefinition {
  if (!isEventName(name)) {
    throw new InvalidEventDefinitionError(
      name,
      `a name has 1 to ${MAX_NAME_LENGTH} letters, digits, ".", "_", "-", ":" or "/".`,
    );
  }
  const { version = 1, schema, key, entity, category = 'domain' } = options;
  if (!Number.isInteger(version) || version < 1 || version > 1_000_000) {
    throw new InvalidEventDefinitionError(
      name,
      `version ${String(version)} must be a whole number from 1.`,
    );
  }
  if (schema !== undefined && typeof schema['~standard']?.validate !== 'function') {
    throw new InvalidEventDefinitionError(
      name,
      'its schema is not a Standard Schema (zod 3.24+, valibot 1+, arktype 2+, …).',
    );
  }
  return Object.freeze({
    name,
    version,
    category,
    schema,
    ...(key !== undefined && { key }),
    ...(entity !== undefined && { entity }),
  });
}
