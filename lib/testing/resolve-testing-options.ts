import { randomBytes } from 'node:crypto';
import { InvalidOptionsError } from '../errors.js';
import type { EventsModuleOptions } from '../events.options.js';
import { resolveOptions, type ResolvedOptions } from '../resolve-options.js';
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
const RETRIES: readonly Retries[] = ['all', 'none'];

/**
 * @param application what it gives `EventsModule`; undefined: nothing
 * @throws InvalidOptionsError
 */
export function resolveTestingOptions(
  application: EventsModuleOptions | undefined,
  { mode = 'manual', storage, retries = 'none', ...own }: EventsTestingOptions,
): ResolvedTestingOptions {
  check('mode', mode, MODES);
  check('retries', retries, RETRIES);
  if (storage !== undefined) check('storage', storage, STORAGES);
  const namespace = own.namespace ?? `test-${randomBytes(6).toString('hex')}`;
  const { queue: _queue, ...events } = { ...application, ...own, namespace };
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

function check(option: string, value: string, known: readonly string[]): void {
  if (known.includes(value)) return;
  throw new InvalidOptionsError(
    option,
    `is ${JSON.stringify(value)}; use ${known.map((each) => `'${each}'`).join(' or ')}.`,
  );
}
