import {
  Global,
  Module,
  type DynamicModule,
  type InjectionToken,
  type Provider,
  type Type,
} from '@nestjs/common';
import { DiscoveryModule, DiscoveryService, ModuleRef } from '@nestjs/core';
import { SchedulerRegistry } from '@nestjs/schedule';
import type { DataSource } from 'typeorm';
import { InvalidOptionsError } from './errors.js';
import { EventRegistry } from './event/event-registry.js';
import type { EventDefinition } from './event/event-definition.js';
import {
  DATA_SOURCE,
  dataSourceProvider,
  fromRuntime,
  type NamedDataSource,
  RAW_OPTIONS,
  RUNTIME,
  SERVICE_EXPORTS,
  SERVICE_PROVIDERS,
} from './events.providers.js';
import { createRuntime, type EventsRuntime } from './events.runtime.js';
import { EventsLifecycle } from './events.lifecycle.js';
import {
  DEFAULTS,
  type EventsModuleAsyncOptions,
  type EventsModuleOptions,
  type EventsOptionsFactory,
} from './events.options.js';
import { resolveOptions } from './resolve-options.js';

/**
 * Durable domain events. Import it once with `forRoot` (it is global), and where events are defined
 * with `forFeature`.
 *
 * @example
 * @Module({ imports: [TypeOrmModule.forRoot({ … }), EventsModule.forRoot({ queue: { redis } })] })
 */
@Global()
@Module({
  imports: [DiscoveryModule],
  providers: [
    {
      provide: RUNTIME,
      inject: [
        RAW_OPTIONS,
        DATA_SOURCE,
        EventRegistry,
        DiscoveryService,
        ModuleRef,
        { token: SchedulerRegistry, optional: true },
      ],
      useFactory: (
        options: EventsModuleOptions,
        dataSource: NamedDataSource,
        registry: EventRegistry,
        discovery: DiscoveryService,
        moduleRef: ModuleRef,
        scheduler?: SchedulerRegistry,
      ) => {
        assertOneRoot(discovery);
        return createRuntime(resolveOptions(options), required(dataSource), registry, {
          discovery,
          moduleRef,
          // An own one where the application has no ScheduleModule. Importing that module here
          // would start the application's own jobs twice.
          scheduler: scheduler ?? new SchedulerRegistry(),
        });
      },
    },
    fromRuntime(EventsLifecycle, ({ lifecycle }: EventsRuntime) => lifecycle),
    ...SERVICE_PROVIDERS,
  ],
  exports: SERVICE_EXPORTS,
})
export class EventsModule {
  /** @throws InvalidOptionsError at boot, for an option that is unknown or can't be used */
  static forRoot(options: EventsModuleOptions = {}): DynamicModule {
    return createRoot(options.dataSource, [{ provide: RAW_OPTIONS, useValue: options }], []);
  }

  /** Like {@link forRoot}, with options from a factory, a class or an existing provider. */
  static forRootAsync(options: EventsModuleAsyncOptions): DynamicModule {
    return createRoot(options.dataSource, asyncOptions(options), options.imports ?? []);
  }

  /** Registers definitions, so that their events can be emitted by name and are known at boot. */
  static forFeature(definitions: readonly EventDefinition[]): DynamicModule {
    return {
      module: EventsFeatureModule,
      providers: [
        {
          provide: Symbol('nestjs-durable-events:feature'),
          inject: [EventRegistry],
          useFactory: (registry: EventRegistry) => {
            for (const definition of definitions) registry.register(definition);
            return definitions;
          },
        },
      ],
    };
  }
}

/** Carries the definitions of one `forFeature`. */
@Module({})
class EventsFeatureModule {}

/**
 * Carries the options of `forRoot`. They are apart from what is wired by them, so that tests can put
 * another module in the place of that: Nest overrides modules by their class, and every dynamic module
 * is one of its own.
 */
@Module({})
class EventsRootModule {}

function createRoot(
  dataSource: InjectionToken = DEFAULTS.dataSource,
  optionProviders: Provider[],
  imports: NonNullable<DynamicModule['imports']>,
): DynamicModule {
  return {
    module: EventsRootModule,
    global: true,
    imports: [...imports, EventsModule],
    providers: [...optionProviders, dataSourceProvider(DATA_SOURCE, dataSource)],
    exports: [RAW_OPTIONS, DATA_SOURCE],
  };
}

/** @throws InvalidOptionsError where one `forRoot` would silently count for nothing */
function assertOneRoot(discovery: DiscoveryService): void {
  const roots = discovery.getProviders().filter(({ token }) => token === RAW_OPTIONS);
  if (roots.length <= 1) return;
  throw new InvalidOptionsError(
    'forRoot',
    'was imported twice, with options of its own each time. Import it once, in the root module.',
  );
}

/** @throws InvalidOptionsError where there is none of that name or token */
function required({ token, dataSource }: NamedDataSource): DataSource {
  if (dataSource !== undefined) return dataSource;
  const name = typeof token === 'function' ? token.name : String(token);
  throw new InvalidOptionsError(
    'dataSource',
    `is not there: no module provides "${name}". Import TypeOrmModule.forRoot(…), with the "name" that ` +
      `EventsModule is given as "dataSource".`,
  );
}

function asyncOptions(options: EventsModuleAsyncOptions): Provider[] {
  const { useFactory, useClass, useExisting, inject = [] } = options;
  if ([useFactory, useClass, useExisting].filter((form) => form !== undefined).length !== 1) {
    throw new InvalidOptionsError(
      'forRootAsync',
      'needs exactly one of "useFactory", "useClass" and "useExisting".',
    );
  }
  if (useFactory !== undefined) {
    return [
      {
        provide: RAW_OPTIONS,
        inject,
        useFactory: async (...args: unknown[]) => checked(await useFactory(...args), options),
      },
    ];
  }
  const factory = (useClass ?? useExisting) as Type<EventsOptionsFactory>;
  return [
    {
      provide: RAW_OPTIONS,
      inject: [factory],
      useFactory: async (made: EventsOptionsFactory) =>
        checked(await made.createEventsOptions(), options),
    },
    ...(useClass === undefined ? [] : [useClass]),
  ];
}

/** A factory's `dataSource` would come too late: it decides what is injected. */
function checked(made: EventsModuleOptions, given: EventsModuleAsyncOptions): EventsModuleOptions {
  if (made.dataSource === undefined || made.dataSource === given.dataSource) return made;
  throw new InvalidOptionsError(
    'dataSource',
    'must stand beside the factory: forRootAsync({ dataSource, useFactory }).',
  );
}
