export { EventsModule } from './events.module.js';
export type {
  DefaultsOptions,
  EventsModuleAsyncOptions,
  EventsModuleOptions,
  EventsOptionsFactory,
  QueueOptions,
  RelayOptions,
  RescueOptions,
  WorkersOptions,
} from './events.options.js';
export type { Duration } from './common/duration.js';
export type { QueueTarget } from './queue/create-queue.js';
export type { RedisTarget } from './queue/redis/open-redis.js';
export type { PostgresTarget } from './queue/postgres/postgres-target.js';

export { defineEvent } from './event/event-definition.js';
export type {
  EventCategory,
  EventDefinition,
  EventDefinitionOptions,
} from './event/event-definition.js';
export type {
  DomainEvent,
  EventActor,
  EventEntity,
  EventEnvelope,
  Serialized,
} from './event/domain-event.js';

export { EventBus } from './emit/event-bus.js';
export type { EmitData, EmitEntry } from './emit/event-bus.js';
export type { EmitOptions, EmittedEvent, Standalone } from './emit/emit.options.js';

export type { BatchFailure, BatchOptions, BatchResult } from './handle/batch-result.js';
export { EventHandler } from './handle/event-handler.decorator.js';
export type { HandlerContext } from './handle/handler-context.js';
export type { HandlerInfo } from './handle/handler-directory.js';
export type {
  Backoff,
  BackoffConfig,
  BackoffFunction,
  DeliveryOptions,
  HandlerOptions,
} from './handle/handler.options.js';

export { EventLog } from './log/event-log.js';
export type { DeliveryInfo, EventHistory } from './log/event-log.js';
export { DeadLetters } from './dead-letters/dead-letters.js';
export type {
  DeadLetter,
  DeadLetterDetails,
  DeadLetterPage,
  FailedAttemptInfo,
} from './dead-letters/dead-letters.js';
export type { DeadLetterFilter } from './dead-letters/dead-letter-filter.js';
export { HandlerRegistry } from './handle/handler-registry.js';
export type { RegisteredHandlerInfo } from './handle/handler-registry.js';
export { Operations } from './operations/operations.js';
export type { ActionOptions, Operation } from './operations/operations.js';
export type { OperationKind } from './store/operation-store.js';

export { EventsHealth } from './health/events-health.js';
export type { HealthReport, Ledger } from './health/events-health.js';
export { EventsHealthIndicator } from './health/events-health.indicator.js';
export type { EventsHealthResult, HealthLimits } from './health/events-health.indicator.js';

export type { DeliveryStatus } from './store/event-store.js';

export {
  CreateDurableEvents1763683200000,
  eventsMigrations,
} from './store/migrations/typeorm-migrations.js';
export { CreateEventQueue1763683200001 } from './queue/postgres/queue-migration.js';
export { eventsMigrator } from './store/migrations/migrator.js';

export { Signals } from './observability/signals.js';
export type { DeliverySignal, SignalCatalogue, SignalName } from './observability/signals.js';

export {
  DuplicateEventError,
  DuplicateHandlerError,
  EVENTS_ERROR_CODES,
  EventDataTooLargeError,
  EventsError,
  EventsSchemaOutdatedError,
  EventTransactionEndedError,
  EventTransactionFailedError,
  EventTransactionRequiredError,
  HandlerInUseError,
  HandlerTimeoutError,
  InvalidEventDataError,
  InvalidEventDefinitionError,
  InvalidHandlerError,
  InvalidOptionsError,
  QueueUnavailableError,
  ShuttingDownError,
  UnknownEventError,
  UnknownHandlerError,
  UnknownQueueError,
  UnrecoverableEventError,
  UnserializableEventDataError,
  UnsupportedDatabaseError,
  WrongDataSourceError,
} from './errors.js';
export type { EventDataIssue, EventsErrorCode } from './errors.js';
