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
  check(value, new Place(eventName, field));
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

/** Where a check is: its path is put together only to refuse, as nearly nothing is. */
class Place {
  private readonly keys: (string | number)[] = [];
  readonly ancestors = new Set<object>();

  constructor(
    private readonly eventName: string,
    private readonly field: string,
  ) {}

  /** Checks a property or element. */
  enter(key: string | number, value: unknown): void {
    this.keys.push(key);
    check(value, this);
    this.keys.pop();
  }

  /** @param key of a property or element that is the reason */
  refuse(problem: string, key?: string | number): never {
    const keys = key === undefined ? this.keys : [...this.keys, key];
    throw new UnserializableEventDataError(
      this.eventName,
      keys.reduce(appendKey, this.field),
      problem,
    );
  }
}

function appendKey(path: string, key: string | number): string {
  if (typeof key === 'number') return `${path}[${key}]`;
  return /^[A-Za-z_$][\w$]*$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`;
}

function check(value: unknown, place: Place): void {
  switch (typeof value) {
    case 'string': {
      const problem = textProblem(value);
      if (problem !== undefined) place.refuse(problem);
      return;
    }
    case 'number':
      checkNumber(value, place);
      return;
    case 'boolean':
      return;
    case 'object':
      if (value !== null) checkObject(value, place);
      return;
    case 'undefined':
      return place.refuse('is undefined; use null');
    case 'bigint':
      return place.refuse('is a BigInt, which JSON does not have; use a string');
    default:
      return place.refuse(`is a ${typeof value}, which JSON does not have`);
  }
}

function checkNumber(value: number, place: Place): void {
  if (!Number.isFinite(value)) place.refuse(`is ${value}, which JSON turns into null`);
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    place.refuse('is an integer beyond Number.MAX_SAFE_INTEGER, already rounded; use a string');
  }
}

function checkObject(value: object, place: Place): void {
  const { ancestors } = place;
  if (ancestors.has(value)) place.refuse(CIRCULAR);
  if (ancestors.size >= MAX_DEPTH) place.refuse(`is nested deeper than ${MAX_DEPTH} levels`);
  ancestors.add(value);
  const json = hasToJson(value) ? jsonOf(value, place) : value;
  if (typeof json !== 'object' || json === null) check(json, place);
  else if (json !== value && ancestors.has(json)) place.refuse(CIRCULAR);
  else if (Array.isArray(json)) checkArray(json, place);
  else checkProperties(json, place);
  ancestors.delete(value);
}

function hasToJson(value: object): value is { toJSON(key?: string): unknown } {
  return typeof (value as { toJSON?: unknown }).toJSON === 'function';
}

/** What JSON.stringify takes in the value's place. */
function jsonOf(value: { toJSON(key?: string): unknown }, place: Place): unknown {
  if (value instanceof Date && Number.isNaN(value.getTime())) place.refuse('is an invalid Date');
  const json = value.toJSON('');
  if (json === undefined) place.refuse('has a toJSON that returns undefined');
  // JSON.stringify asks once: a Date out of a toJSON becomes `{}`.
  if (json !== value && typeof json === 'object' && json !== null && hasToJson(json)) {
    place.refuse('has a toJSON that returns an object with a toJSON, which JSON does not ask');
  }
  return json;
}

function checkArray(value: readonly unknown[], place: Place): void {
  for (let index = 0; index < value.length; index++) {
    if (value[index] === undefined) {
      place.refuse('is undefined, which JSON turns into null in an array', index);
    }
    place.enter(index, value[index]);
  }
}

function checkProperties(value: object, place: Place): void {
  const kind = lossyKind(value);
  if (kind !== undefined) place.refuse(`is a ${kind}, which JSON can't carry`);
  for (const key of Object.keys(value)) {
    if (key === '__proto__') {
      place.refuse('is an own property named __proto__, which is unsafe', key);
    }
    const problem = textProblem(key);
    if (problem !== undefined) place.refuse(`has a name that ${problem}`, key);
    const property = (value as Record<string, unknown>)[key];
    if (property !== undefined) place.enter(key, property);
  }
  if (Object.getOwnPropertySymbols(value).some((symbol) => isEnumerable(value, symbol))) {
    place.refuse('has a property named by a symbol, which JSON leaves out');
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
