import type { StandardSchemaV1 } from '@standard-schema/spec';
import { InvalidEventDataError, type EventDataIssue } from '../errors.js';
import type { EventDefinition } from './event-definition.js';

/**
 * Validates data against the definition's schema and returns the schema's output (with defaults
 * and transformations applied); without a schema, the data itself.
 *
 * @throws InvalidEventDataError naming every issue and where it is
 */
export async function checkSchema(definition: EventDefinition, data: unknown): Promise<unknown> {
  return checkSchemaNow(definition, data);
}

/** The same, at once if the schema can: a promise is returned only where it checks asynchronously. */
export function checkSchemaNow(definition: EventDefinition, data: unknown): unknown {
  if (definition.schema === undefined) return data;
  const result = definition.schema['~standard'].validate(data);
  return result instanceof Promise
    ? result.then((settled) => outputOf(definition, settled))
    : outputOf(definition, result);
}

function outputOf(definition: EventDefinition, result: StandardSchemaV1.Result<unknown>): unknown {
  if (result.issues === undefined) return result.value;
  throw new InvalidEventDataError(definition.name, result.issues.map(toIssue));
}

function toIssue(issue: StandardSchemaV1.Issue): EventDataIssue {
  return { path: (issue.path ?? []).reduce<string>(appendSegment, ''), message: issue.message };
}

function appendSegment(path: string, segment: PropertyKey | StandardSchemaV1.PathSegment): string {
  const key = typeof segment === 'object' ? segment.key : segment;
  if (typeof key === 'number') return `${path}[${key}]`;
  return path === '' ? String(key) : `${path}.${String(key)}`;
}
