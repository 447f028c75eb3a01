import { parseDuration } from '../common/duration.js';
import { InvalidOptionsError } from '../errors.js';
import { checkText, encodeJson } from '../event/data-codec.js';
import type { EventEntity } from '../event/domain-event.js';
import type { EventDefinition } from '../event/event-definition.js';
import { newEventId } from '../event/event-id.js';
import { MAX_NAME_LENGTH } from '../event/names.js';
import { checkSchemaNow } from '../event/schema-check.js';
import type { OutboxRecord } from '../store/event-store.js';
import type { EmitOptions } from './emit.options.js';

/** 100 years: beyond, it is a mistake, and databases have limits. */
const MAX_DELAY_MS = 100 * 365 * 86_400_000;

interface RecordDefaults {
  readonly maxDataBytes: number;
  readonly causationId?: string;
  readonly correlationId?: string;
}

/**
 * Checks an event completely (schema, JSON, sizes, texts) and makes the row to write; at once, unless
 * its schema takes a while. Touches no database: when it throws or rejects, nothing was written.
 */
export function toOutboxRecord(
  definition: EventDefinition,
  input: unknown,
  options: EmitOptions,
  defaults: RecordDefaults,
): OutboxRecord | Promise<OutboxRecord> {
  const checked = checkSchemaNow(definition, input);
  return checked instanceof Promise
    ? checked.then((data) => recordOf(definition, data, options, defaults))
    : recordOf(definition, checked, options, defaults);
}

function recordOf(
  definition: EventDefinition,
  data: unknown,
  options: EmitOptions,
  defaults: RecordDefaults,
): OutboxRecord {
  const { name } = definition;
  const entity = options.entity ?? definition.entity?.(data);
  const { actor, metadata } = options;
  return {
    eventId: newEventId(),
    name,
    version: definition.version,
    category: definition.category,
    data: encodeJson(name, 'data', data, defaults.maxDataBytes),
    metadata:
      metadata === undefined ? null : encodeJson(name, 'metadata', metadata, defaults.maxDataBytes),
    headers: null,
    key: text(name, 'key', options.key ?? definition.key?.(data)),
    entityType: text(name, 'entity.type', entity?.type, MAX_NAME_LENGTH),
    entityId: text(name, 'entity.id', entity?.id),
    entityVersion: entityVersion(name, entity),
    actorType: text(name, 'actor.type', actor?.type),
    actorId: text(name, 'actor.id', actor?.id),
    causationId: text(name, 'causationId', options.causationId ?? defaults.causationId),
    correlationId: text(name, 'correlationId', options.correlationId ?? defaults.correlationId),
    occurredAt: occurredAt(options.occurredAt),
    delayMs: delayMs(options.delay),
    idempotencyKey: text(name, 'idempotencyKey', options.idempotencyKey),
  };
}

/** @param maxLength default: as long as an id may be. An index holds an entity's type and id together. */
function text(
  eventName: string,
  field: string,
  value: string | undefined,
  maxLength?: number,
): string | null {
  if (value === undefined) return null;
  checkText(eventName, field, value, maxLength);
  return value;
}

function entityVersion(name: string, entity: EventEntity | undefined): number | null {
  const version = entity?.version;
  if (version === undefined) return null;
  if (Number.isInteger(version) && version >= 0 && version <= 2_147_483_647) return version;
  throw new InvalidOptionsError(
    'emit.entity.version',
    `of event "${name}" must be a whole number from 0, not ${String(version)}.`,
  );
}

function occurredAt(value: Date | undefined): string | null {
  if (value === undefined) return null;
  const iso = value instanceof Date && !Number.isNaN(value.getTime()) ? value.toISOString() : '';
  // Other years have more digits or a sign, which databases read otherwise, or not at all.
  if (/^(?!0000)\d{4}-/.test(iso)) return iso;
  throw new InvalidOptionsError('emit.occurredAt', 'must be a valid Date of the years 1 to 9999.');
}

function delayMs(value: EmitOptions['delay']): number | null {
  if (value === undefined) return null;
  const ms = parseDuration(value);
  if (ms !== undefined && ms <= MAX_DELAY_MS) return ms === 0 ? null : ms;
  throw new InvalidOptionsError(
    'emit.delay',
    `must be milliseconds or a duration such as '30s', at most 100 years, not ${JSON.stringify(value)}.`,
  );
}
