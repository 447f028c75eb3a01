import { types } from 'node:util';
import { EventDataTooLargeError, UnserializableEventDataError } from '../errors.js';

/** Nesting beyond this is refused: JSON parsers and jsonb have limits of their own. */
const MAX_DEPTH = 200;
const CIRCULAR = 'refers back to an object that contains it';

/**
 * JSON text of a value, if JSON carries it faithfully.
 *
 * Allowed: what JSON has, `undefined` properties (left out), objects with `toJSON` (Date, Decimal)
 * and instances of classes (their own enumerable properties). Refused, with the path: what JSON or
 * PostgreSQL's jsonb would lose, change or choke on (failure modes B1–B4).
 *
 * @param field what the value is, the start of the path: `data` or `metadata`
 * @throws UnserializableEventDataError | EventDataTooLargeError
 */
export function encodeJson(
  eventName: string,
  field: string,
  value: unknown,
  maxBytes: number,
): string {
  const refuse = (path: string, problem: string): never => {
    throw new UnserializableEventDataError(eventName, path, problem);
  };
  check(value, field, refuse, new Set());
  const json = JSON.stringify(value);
  const bytes = Buffer.byteLength(json);
  if (bytes > maxBytes) throw new EventDataTooLargeError(eventName, bytes, maxBytes, field);
  return json;
}

/** A short text (key, id, …): well-formed, without NUL, of at most `maxLength` characters. */
export function checkText(
  eventName: string,
  field: string,
  text: unknown,
  maxLength = 512,
): asserts text is string {
  const problem =
    typeof text !== 'string'
      ? `must be a string, not ${typeof text}`
      : text.length === 0 || text.length > maxLength
        ? `must have 1 to ${maxLength} characters, not ${text.length}`
        : textProblem(text);
  if (problem !== undefined) throw new UnserializableEventDataError(eventName, field, problem);
}

type Refuse = (path: string, problem: string) => never;

function check(value: unknown, path: string, refuse: Refuse, ancestors: Set<object>): void {
  switch (typeof value) {
    case 'string': {
      const problem = textProblem(value);
      if (problem !== undefined) refuse(path, problem);
      return;
    }
    case 'number':
      checkNumber(value, path, refuse);
      return;
    case 'boolean':
      return;
    case 'object':
      if (value !== null) checkObject(value, path, refuse, ancestors);
      return;
    case 'undefined':
      return refuse(path, 'is undefined; use null');
    case 'bigint':
      return refuse(path, 'is a BigInt, which JSON does not have; use a string');
    default:
      return refuse(path, `is a ${typeof value}, which JSON does not have`);
  }
}

function checkNumber(value: number, path: string, refuse: Refuse): void {
  if (!Number.isFinite(value)) refuse(path, `is ${value}, which JSON turns into null`);
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    refuse(path, 'is an integer beyond Number.MAX_SAFE_INTEGER, already rounded; use a string');
  }
}

function checkObject(value: object, path: string, refuse: Refuse, ancestors: Set<object>): void {
  if (ancestors.has(value)) refuse(path, CIRCULAR);
  if (ancestors.size >= MAX_DEPTH) refuse(path, `is nested deeper than ${MAX_DEPTH} levels`);
  ancestors.add(value);
  const json = hasToJson(value) ? jsonOf(value, path, refuse) : value;
  if (typeof json !== 'object' || json === null) check(json, path, refuse, ancestors);
  else if (json !== value && ancestors.has(json)) refuse(path, CIRCULAR);
  else if (Array.isArray(json)) checkArray(json, path, refuse, ancestors);
  else checkProperties(json, path, refuse, ancestors);
  ancestors.delete(value);
}

function hasToJson(value: object): value is { toJSON(key?: string): unknown } {
  return typeof (value as { toJSON?: unknown }).toJSON === 'function';
}

/** What JSON.stringify takes in the value's place. */
function jsonOf(value: { toJSON(key?: string): unknown }, path: string, refuse: Refuse): unknown {
  if (value instanceof Date && Number.isNaN(value.getTime())) refuse(path, 'is an invalid Date');
  const json = value.toJSON('');
  if (json === undefined) refuse(path, 'has a toJSON that returns undefined');
  // JSON.stringify asks once: a Date out of a toJSON becomes `{}`.
  if (json !== value && typeof json === 'object' && json !== null && hasToJson(json)) {
    refuse(path, 'has a toJSON that returns an object with a toJSON, which JSON does not ask');
  }
  return json;
}

function checkArray(
  value: readonly unknown[],
  path: string,
  refuse: Refuse,
  ancestors: Set<object>,
): void {
  for (let index = 0; index < value.length; index++) {
    if (value[index] === undefined) {
      refuse(`${path}[${index}]`, 'is undefined, which JSON turns into null in an array');
    }
    check(value[index], `${path}[${index}]`, refuse, ancestors);
  }
}

function checkProperties(
  value: object,
  path: string,
  refuse: Refuse,
  ancestors: Set<object>,
): void {
  const kind = lossyKind(value);
  if (kind !== undefined) refuse(path, `is a ${kind}, which JSON can't carry`);
  for (const key of Object.keys(value)) {
    const at = propertyPath(path, key);
    if (key === '__proto__') refuse(at, 'is an own property named __proto__, which is unsafe');
    const problem = textProblem(key);
    if (problem !== undefined) refuse(at, `has a name that ${problem}`);
    const property = (value as Record<string, unknown>)[key];
    if (property !== undefined) check(property, at, refuse, ancestors);
  }
  if (Object.getOwnPropertySymbols(value).some((symbol) => isEnumerable(value, symbol))) {
    refuse(path, 'has a property named by a symbol, which JSON leaves out');
  }
}

/** Built-in objects whose content JSON silently drops. Instances of user classes are fine. */
function lossyKind(value: object): string | undefined {
  const lossy =
    types.isMap(value) ||
    types.isSet(value) ||
    types.isWeakMap(value) ||
    types.isWeakSet(value) ||
    types.isPromise(value) ||
    types.isRegExp(value) ||
    types.isNativeError(value) ||
    types.isAnyArrayBuffer(value) ||
    types.isBoxedPrimitive(value) ||
    ArrayBuffer.isView(value) ||
    value instanceof Error;
  return lossy ? (value.constructor?.name ?? 'built-in object') : undefined;
}

function isEnumerable(value: object, symbol: symbol): boolean {
  return Object.getOwnPropertyDescriptor(value, symbol)?.enumerable === true;
}

function textProblem(text: string): string | undefined {
  if (text.includes('\0')) return 'holds a NUL character (\\u0000), which databases refuse';
  if (!text.isWellFormed()) return 'holds a lone surrogate, which is not valid Unicode';
  return undefined;
}

function propertyPath(path: string, key: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`;
}
