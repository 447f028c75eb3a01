import { inspect } from 'node:util';
import {
  Global,
  Module,
  type DynamicModule,
  type InjectionToken,
  type ModuleMetadata,
} from '@nestjs/common';
import { DiscoveryModule, DiscoveryService, ModuleRef } from '@nestjs/core';
import { getDataSourceToken } from '@nestjs/typeorm';
import { InvalidOptionsError } from '../errors.js';
import { EventRegistry } from '../event/event-registry.js';
import { DEFAULTS, type EventsModuleOptions } from '../events.options.js';
import {
  DATA_SOURCE,
  dataSourceProvider,
  fromRuntime,
  RAW_OPTIONS,
  RUNTIME,
  SERVICE_EXPORTS,
  SERVICE_PROVIDERS,
  type NamedDataSource,
} from '../events.providers.js';
import { EventsLifecycle } from '../events.lifecycle.js';
import { EventsTesting } from './events-testing.js';
import type { EventsTestingOptions } from './events-testing.options.js';
import { createMemoryDataSource, type MemoryDataSource } from './memory/memory.data-source.js';
import { resolveTestingOptions, type ResolvedTestingOptions } from './resolve-testing-options.js';
import { createTestingRuntime, type TestingRuntime } from './testing.runtime.js';
import { TestingLifecycle } from './testing.lifecycle.js';

const OPTIONS = Symbol('options of EventsTestingModule.forRoot()');
/** The DataSource where the module stands alone, without the options of `EventsModule.forRoot()`. */
const OWN_DATA_SOURCE = Symbol('DataSource of EventsTestingModule');
const MEMORY = Symbol('stand-in for a DataSource');

/**
 * Takes the place of `EventsModule` in tests: the same checks, store, relay and handlers, but no queue
 * and no timers; the test says when handlers run.
 *
 * @example
 * const module = await Test.createTestingModule({ imports: [AppModule] })
 *   .overrideModule(EventsModule)
 *   .useModule(EventsTestingModule)
 *   .compile();
 * const events = module.get(EventsTesting);
 */
@Global()
@Module(metadataOf({}))
export class EventsTestingModule {
  /**
   * With options; to be imported instead of `EventsModule.forRoot(…)`, or given to `useModule`.
   *
   * @throws InvalidOptionsError at boot, for an option that is unknown or can't be used
   */
  static forRoot(options: EventsTestingOptions = {}): DynamicModule {
    return { module: ConfiguredEventsTestingModule, global: true, ...metadataOf(options) };
  }
}

/** {@link EventsTestingModule} with options: the class of that has some of its own already. */
@Module({})
class ConfiguredEventsTestingModule {}

function metadataOf(options: EventsTestingOptions): ModuleMetadata {
  const name = options.dataSource ?? DEFAULTS.dataSource;
  const token = (typeof name === 'string' ? getDataSourceToken(name) : name) as InjectionToken;
  const inMemory = options.storage === 'memory';
  return {
    imports: [DiscoveryModule],
    providers: [
      { provide: OPTIONS, useValue: options },
      { provide: MEMORY, useFactory: createMemoryDataSource },
      ...(inMemory ? [{ provide: token, useExisting: MEMORY }] : []),
      dataSourceProvider(OWN_DATA_SOURCE, name),
      {
        provide: RUNTIME,
        inject: [
          OPTIONS,
          { token: RAW_OPTIONS, optional: true },
          { token: DATA_SOURCE, optional: true },
          OWN_DATA_SOURCE,
          MEMORY,
          EventRegistry,
          DiscoveryService,
          ModuleRef,
        ],
        useFactory: (
          own: EventsTestingOptions,
          application: EventsModuleOptions | undefined,
          ofApplication: NamedDataSource | undefined,
          ofTest: NamedDataSource,
          memory: MemoryDataSource,
          registry: EventRegistry,
          discovery: DiscoveryService,
          moduleRef: ModuleRef,
        ) => {
          assertAlone(discovery);
          const resolved = resolveTestingOptions(application, own);
          const found = own.dataSource === undefined ? (ofApplication ?? ofTest) : ofTest;
          const source = chooseDataSource(resolved, found, memory, own.dataSource);
          return createTestingRuntime(resolved, source, registry, { discovery, moduleRef });
        },
      },
      fromRuntime(TestingLifecycle, ({ lifecycle }: TestingRuntime) => lifecycle),
      fromRuntime(EventsTesting, ({ testing }: TestingRuntime) => testing),
      ...SERVICE_PROVIDERS,
    ],
    exports: [...SERVICE_EXPORTS, EventsTesting, ...(inMemory ? [token] : [])],
  };
}

/** @throws InvalidOptionsError where another module would take the emits that the test looks for */
function assertAlone(discovery: DiscoveryService): void {
  const tokens = discovery.getProviders().map(({ token }) => token);
  if (tokens.includes(EventsLifecycle)) {
    throw new InvalidOptionsError(
      'EventsTestingModule',
      'was imported beside EventsModule. Put it in the place of that: ' +
        '.overrideModule(EventsModule).useModule(EventsTestingModule.forRoot(…)).',
    );
  }
  if (tokens.filter((token) => token === EventsTesting).length > 1) {
    throw new InvalidOptionsError(
      'EventsTestingModule',
      'was imported twice, with options of its own each time. Import it once.',
    );
  }
}

function chooseDataSource(
  { storage }: ResolvedTestingOptions,
  { dataSource }: NamedDataSource,
  memory: MemoryDataSource,
  named: EventsTestingOptions['dataSource'],
): Parameters<typeof createTestingRuntime>[1] {
  if (storage === 'memory') return { memory };
  if (dataSource !== undefined) return { own: dataSource };
  if (named !== undefined) {
    throw new InvalidOptionsError(
      'dataSource',
      `is ${inspect(named)}, but there is none of that name: import its TypeOrmModule.forRoot(…), or use storage: 'memory'.`,
    );
  }
  if (storage === undefined) return { memory };
  throw new InvalidOptionsError(
    'storage',
    "is 'dataSource', but there is none: import TypeOrmModule.forRoot(…), or use 'memory'.",
  );
}
