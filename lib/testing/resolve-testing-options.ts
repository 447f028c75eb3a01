import { randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import { InvalidOptionsError } from '../errors.js';
import type { EventsModuleOptions } from '../events.options.js';
import {
  checkObject,
  OPTION_NAMES,
  resolveOptions,
  type ResolvedOptions,
} from '../resolve-options.js';
import type { Retries } from './drain.js';
import type {
  EventsTestingOptions,
  TestingMode,
  TestingStorage,
} from './events-testing.options.js';

export interface ResolvedTestingOptions {
  readonly events: ResolvedOptions;
  readonly mode: TestingMode;
  /** Undefined: the DataSource, where there is one. */
  readonly storage: TestingStorage | undefined;
  readonly retries: Retries;
  /** The namespace is nobody else's. */
  readonly ownNamespace: boolean;
}

const MODES: readonly TestingMode[] = ['manual', 'inline', 'off'];
const STORAGES: readonly TestingStorage[] = ['dataSource', 'memory'];
const OWN_NAMES: readonly (keyof EventsTestingOptions)[] = ['mode', 'storage', 'retries'];
const RETRIES: readonly Retries[] = ['all', 'none'];

/**
 * @param application what it gives `EventsModule`; undefined: nothing
 * @throws InvalidOptionsError
 */
export function resolveTestingOptions(
  application: EventsModuleOptions | undefined,
  options: EventsTestingOptions,
): ResolvedTestingOptions {
  checkObject(options, '', [...OWN_NAMES, ...OPTION_NAMES]);
  const { mode = 'manual', storage, retries = 'none', ...own } = options;
  check('mode', mode, MODES);
  check('retries', retries, RETRIES);
  if (storage !== undefined) check('storage', storage, STORAGES);
  const namespace = own.namespace ?? `test-${randomBytes(6).toString('hex')}`;
  // Whoever makes the tables in production, nobody has done so in a test's new database.
  const { queue: _queue, ...events } = { ...application, migrate: true, ...own, namespace };
  return {
    events: resolveOptions(events),
    mode,
    storage,
    retries,
    ownNamespace: own.namespace === undefined,
  };
}

/** @throws InvalidOptionsError */
export function checkRetries(retries: Retries): void {
  check('drain.retries', retries, RETRIES);
}

/** @throws InvalidOptionsError */
export function checkWhole(option: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return;
  throw new InvalidOptionsError(option, `is ${inspect(value)}; use a whole number from ${least}.`);
}

function check(option: string, value: string, known: readonly string[]): void {
  if (known.includes(value)) return;
  throw new InvalidOptionsError(
    option,
    `is ${JSON.stringify(value)}; use ${known.map((each) => `'${each}'`).join(' or ')}.`,
  );
}
