import type { InjectionToken, Provider, Type } from '@nestjs/common';
import { getDataSourceToken } from '@nestjs/typeorm';
import type { DataSource } from 'typeorm';
import { DeadLetters } from './dead-letters/dead-letters.js';
import { EventBus } from './emit/event-bus.js';
import { EventRegistry } from './event/event-registry.js';
import type { EventsServices } from './events.wiring.js';
import { HandlerRegistry } from './handle/handler-registry.js';
import { EventsHealth } from './health/events-health.js';
import { EventsHealthIndicator } from './health/events-health.indicator.js';
import { EventLog } from './log/event-log.js';
import { Operations } from './operations/operations.js';
import { Signals } from './observability/signals.js';

// Descriptions that read well in Nest's "can't resolve dependencies of …".
/** The options as given to `forRoot`, not checked yet. */
export const RAW_OPTIONS: unique symbol = Symbol('options of EventsModule.forRoot()');
/** The {@link NamedDataSource} of the options. */
export const DATA_SOURCE: unique symbol = Symbol('DataSource of EventsModule');
/** What `EventsModule`, or what stands in for it, has wired: `{ services }`. */
export const RUNTIME: unique symbol = Symbol('runtime of EventsModule');

/**
 * The DataSource of a token; undefined where there is none, or where it could not be connected: Nest
 * doesn't tell these apart, but the latter stops the boot with its own error.
 */
export interface NamedDataSource {
  readonly token: InjectionToken;
  readonly dataSource: DataSource | undefined;
}

/** @param name as in the `dataSource` option: a name, or a token */
export function dataSourceProvider(provide: InjectionToken, name: InjectionToken): Provider {
  const token = (typeof name === 'string' ? getDataSourceToken(name) : name) as InjectionToken;
  return {
    provide,
    inject: [{ token, optional: true }],
    useFactory: (dataSource?: DataSource): NamedDataSource => ({ token, dataSource }),
  };
}

/** Takes a part out of the {@link RUNTIME}. */
export function fromRuntime<T>(
  provide: Type<T> | InjectionToken,
  // `never`: each module's own runtime.
  get: (runtime: never) => T,
): Provider {
  return { provide, inject: [RUNTIME], useFactory: get };
}

/** What applications may inject, out of the {@link RUNTIME}. */
export const SERVICE_PROVIDERS: Provider[] = [
  { provide: EventRegistry, useFactory: () => new EventRegistry() },
  service(EventBus, ({ bus }) => bus),
  service(EventLog, ({ log }) => log),
  service(DeadLetters, ({ deadLetters }) => deadLetters),
  service(HandlerRegistry, ({ handlers }) => handlers),
  service(Operations, ({ operations }) => operations),
  service(EventsHealth, ({ health }) => health),
  service(Signals, ({ signals }) => signals),
  {
    provide: EventsHealthIndicator,
    inject: [EventsHealth],
    useFactory: (health: EventsHealth) => new EventsHealthIndicator(health),
  },
];

/**
 * What other modules may inject. The `EventRegistry` is for those that `forFeature` makes, and no part of
 * the public API: `EventBus` tells what is registered.
 */
export const SERVICE_EXPORTS = [
  EventBus,
  EventLog,
  DeadLetters,
  HandlerRegistry,
  Operations,
  EventsHealth,
  EventsHealthIndicator,
  EventRegistry,
  Signals,
];

function service<T>(provide: Type<T>, get: (services: EventsServices) => T): Provider {
  return fromRuntime(provide, ({ services }: { services: EventsServices }) => get(services));
}
