import {
  Module,
  type DynamicModule,
  type FactoryProvider,
  type InjectionToken,
  type Provider,
  type Type,
} from '@nestjs/common';
import { DiscoveryModule, DiscoveryService, ModuleRef } from '@nestjs/core';
import { SchedulerRegistry } from '@nestjs/schedule';
import { getDataSourceToken } from '@nestjs/typeorm';
import type { DataSource } from 'typeorm';
import { EventBus } from './emit/event-bus.js';
import { InvalidOptionsError } from './errors.js';
import { EventRegistry } from './event/event-registry.js';
import type { EventDefinition } from './event/event-definition.js';
import { createRuntime, type EventsRuntime } from './events.runtime.js';
import { EventsLifecycle } from './events.lifecycle.js';
import {
  DEFAULTS,
  type EventsModuleAsyncOptions,
  type EventsModuleOptions,
  type EventsOptionsFactory,
} from './events.options.js';
import { EventLog } from './log/event-log.js';
import { Signals } from './observability/signals.js';
import { resolveOptions, type ResolvedOptions } from './resolve-options.js';

const RAW_OPTIONS = Symbol('nestjs-durable-events:raw-options');
const OPTIONS = Symbol('nestjs-durable-events:options');
const RUNTIME = Symbol('nestjs-durable-events:runtime');

/**
 * Durable domain events. Import it once with `forRoot` (it is global), and where events are defined
 * with `forFeature`.
 *
 * @example
 * @Module({ imports: [TypeOrmModule.forRoot({ … }), EventsModule.forRoot({ queue: { redis } })] })
 */
@Module({})
export class EventsModule {
  /** @throws InvalidOptionsError at boot, for an option that is unknown or can't be used */
  static forRoot(options: EventsModuleOptions = {}): DynamicModule {
    return createModule(options.dataSource, [{ provide: RAW_OPTIONS, useValue: options }], []);
  }

  /** Like {@link forRoot}, with options from a factory, a class or an existing provider. */
  static forRootAsync(options: EventsModuleAsyncOptions): DynamicModule {
    return createModule(options.dataSource, asyncOptions(options), options.imports ?? []);
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

function createModule(
  dataSource: InjectionToken = DEFAULTS.dataSource,
  optionProviders: Provider[],
  imports: NonNullable<DynamicModule['imports']>,
): DynamicModule {
  const token = typeof dataSource === 'string' ? getDataSourceToken(dataSource) : dataSource;
  return {
    module: EventsModule,
    global: true,
    imports: [...imports, DiscoveryModule],
    providers: [
      ...optionProviders,
      {
        provide: OPTIONS,
        inject: [RAW_OPTIONS],
        useFactory: resolveOptions,
      },
      { provide: EventRegistry, useFactory: () => new EventRegistry() },
      {
        provide: RUNTIME,
        inject: [
          OPTIONS,
          token as InjectionToken,
          EventRegistry,
          DiscoveryService,
          ModuleRef,
          { token: SchedulerRegistry, optional: true },
        ],
        useFactory: (
          options: ResolvedOptions,
          source: DataSource,
          registry: EventRegistry,
          discovery: DiscoveryService,
          moduleRef: ModuleRef,
          scheduler?: SchedulerRegistry,
        ) =>
          createRuntime(options, source, registry, {
            discovery,
            moduleRef,
            // An own one where the application has no ScheduleModule. Importing that module here
            // would start the application's own jobs twice.
            scheduler: scheduler ?? new SchedulerRegistry(),
          }),
      } satisfies FactoryProvider,
      fromRuntime(EventsLifecycle, ({ lifecycle }) => lifecycle),
      fromRuntime(EventBus, ({ bus }) => bus),
      fromRuntime(EventLog, ({ log }) => log),
      fromRuntime(Signals, ({ signals }) => signals),
    ],
    exports: [EventBus, EventLog, EventRegistry, Signals],
  };
}

function fromRuntime<T>(
  provide: Type<T> | InjectionToken,
  get: (runtime: EventsRuntime) => T,
): Provider {
  return { provide, inject: [RUNTIME], useFactory: get };
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
