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
  if (definition.schema === undefined) return data;
  const result = await definition.schema['~standard'].validate(data);
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
