import { inspect, isDeepStrictEqual } from 'node:util';

/** A value in which anything may be left out. Matchers such as `expect.any(String)` may stand in it. */
export type Partially<T> = T extends readonly (infer Item)[]
  ? readonly Partially<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]?: Partially<T[Key]> }
    : T;

/** Something that an expected value asks for, and the actual one is not. */
export interface Difference {
  /** Such as `items[0].sku`; empty: the value itself. */
  readonly path: string;
  readonly expected: string;
  readonly actual: string;
}

/** A matcher of vitest, jest or sinon: known by its method, whichever runner it is from. */
interface AsymmetricMatcher {
  asymmetricMatch(value: unknown): boolean;
  /** Its text, such as `Any<String>`. */
  toAsymmetricMatcher?(): string;
  /** Its name, such as `StringContaining`. */
  toString(): string;
}

/**
 * Where `actual` is not what is expected. Properties that `expected` does not name may be anything;
 * arrays must have its length.
 */
export function differences(expected: unknown, actual: unknown, path = ''): Difference[] {
  if (isMatcher(expected)) {
    return expected.asymmetricMatch(actual) ? [] : [difference(path, expected, actual)];
  }
  if (Array.isArray(expected)) return differencesOfArrays(expected, actual, path);
  if (!isPlain(expected)) {
    return isDeepStrictEqual(expected, actual) ? [] : [difference(path, expected, actual)];
  }
  if (typeof actual !== 'object' || actual === null || Array.isArray(actual)) {
    return [difference(path, expected, actual)];
  }
  return Object.entries(expected).flatMap(([key, value]) =>
    differences(value, (actual as Record<string, unknown>)[key], propertyPath(path, key)),
  );
}

/** For people: short, on one line. */
export function print(value: unknown): string {
  const text = inspect(readable(value), { depth: 6, breakLength: Infinity, maxArrayLength: 20 });
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}

/** With the texts of matchers in their places. */
function readable(value: unknown): unknown {
  if (isMatcher(value)) return { [inspect.custom]: () => textOf(value) };
  if (Array.isArray(value)) return value.map(readable);
  if (!isPlain(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, readable(each)]));
}

/** Such as `Any<String>`, or `StringContaining 'o'`, as the runners print them. */
function textOf(matcher: AsymmetricMatcher): string {
  if (matcher.toAsymmetricMatcher !== undefined) return matcher.toAsymmetricMatcher();
  const name = matcher.toString === Object.prototype.toString ? 'a matcher' : matcher.toString();
  return 'sample' in matcher ? `${name} ${print(matcher.sample)}` : name;
}

function differencesOfArrays(
  expected: readonly unknown[],
  actual: unknown,
  path: string,
): Difference[] {
  if (!Array.isArray(actual)) return [difference(path, expected, actual)];
  const found = expected.flatMap((item, index) =>
    index < actual.length ? differences(item, actual[index], `${path}[${index}]`) : [],
  );
  if (expected.length === actual.length) return found;
  const length = propertyPath(path, 'length');
  return [...found, difference(length, expected.length, actual.length)];
}

function difference(path: string, expected: unknown, actual: unknown): Difference {
  return { path, expected: print(expected), actual: print(actual) };
}

function isMatcher(value: unknown): value is AsymmetricMatcher {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as Partial<AsymmetricMatcher>).asymmetricMatch === 'function'
  );
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function propertyPath(path: string, key: string): string {
  if (!/^[A-Za-z_$][\w$]*$/.test(key)) return `${path}[${JSON.stringify(key)}]`;
  return path === '' ? key : `${path}.${key}`;
}
