import 'reflect-metadata';
import type { DomainEvent, EventEnvelope } from '../event/domain-event.js';
import type { EventDefinition } from '../event/event-definition.js';
import type { BatchOptions, BatchResult } from './batch-result.js';
import type { HandlerContext } from './handler-context.js';
import type { HandlerOptions } from './handler.options.js';

const HANDLERS = Symbol('nestjs-durable-events:handlers');

type EventRef = EventDefinition | string;

/** The event a handler gets: of the definition; of a name, anything. */
type HandledEvent<Ref> = Ref extends readonly (infer Each)[]
  ? HandledEvent<Each>
  : Ref extends string
    ? // `any`: what is behind a plain name only the handler knows.
      // oxlint-disable-next-line typescript/no-explicit-any
      EventEnvelope<Ref, any>
    : DomainEvent<Ref>;

type HandlerMethod<Ref> = (event: HandledEvent<Ref>, context: HandlerContext) => unknown;

type Returned = BatchResult | void;
type BatchMethod<Ref> = (
  events: readonly HandledEvent<Ref>[],
  context: HandlerContext,
) => Returned | Promise<Returned>;

/** Checks the decorated method. */
type Decorates<Method> = <Decorated extends Method>(
  target: object,
  method: string | symbol,
  descriptor: TypedPropertyDescriptor<Decorated>,
) => void;

/** One use of the decorator. */
export interface HandlerMetadata {
  readonly events: readonly EventRef[];
  readonly options: HandlerOptions;
}

/**
 * Makes a method of a provider or controller a handler of an event, of several, or (by name) of
 * events defined elsewhere. It may stand several times on one method. The method's parameter is
 * checked against the definition when the code is compiled.
 *
 * A handler that returns has handled the event; one that throws is tried again. With the option
 * `batch` it gets a list of events, and may return a {@link BatchResult} that names those it could not
 * handle; where it throws, all are tried again, one by one.
 *
 * @example
 * @EventHandler(OrderPlaced, { id: 'mails.order-confirmation', queue: 'mail', attempts: 10 })
 * async confirm(event: DomainEvent<typeof OrderPlaced>, context: HandlerContext) {}
 */
export function EventHandler<const Ref extends EventRef | readonly EventRef[]>(
  event: Ref,
  options: HandlerOptions & { batch: BatchOptions },
): Decorates<BatchMethod<Ref>>;
export function EventHandler<const Ref extends EventRef | readonly EventRef[]>(
  event: Ref,
  options?: HandlerOptions,
): Decorates<HandlerMethod<Ref>>;
export function EventHandler(
  event: EventRef | readonly EventRef[],
  options: HandlerOptions = {},
): Decorates<object> {
  return (_target, _method, descriptor) => {
    const method = descriptor.value as object;
    const events: readonly EventRef[] =
      typeof event === 'string' || !isList(event) ? [event] : event;
    // Decorators run from the bottom up; the list reads like the source, top down.
    const list: HandlerMetadata[] = [{ events, options }, ...handlerMetadata(method)];
    Reflect.defineMetadata(HANDLERS, list, method);
  };
}

/** All uses of the decorator on a method, in the order of the source. */
export function handlerMetadata(method: object): readonly HandlerMetadata[] {
  return (Reflect.getMetadata(HANDLERS, method) as HandlerMetadata[] | undefined) ?? [];
}

function isList(event: EventDefinition | readonly EventRef[]): event is readonly EventRef[] {
  return Array.isArray(event);
}
