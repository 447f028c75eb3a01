import { isDeepStrictEqual } from 'node:util';
import {
  ContextIdFactory,
  MetadataScanner,
  type DiscoveryService,
  type ModuleRef,
} from '@nestjs/core';
import { Injector } from '@nestjs/core/injector/injector.js';
import type { InstanceWrapper } from '@nestjs/core/injector/instance-wrapper.js';
import { DuplicateHandlerError, InvalidHandlerError } from '../errors.js';
import type { DomainEvent } from '../event/domain-event.js';
import { handlerMetadata, type HandlerMetadata } from './event-handler.decorator.js';
import type { HandlerContext } from './handler-context.js';
import {
  defineHandler,
  type HandlerDefaults,
  type HandlerDefinition,
} from './handler-definition.js';

type Handled = DomainEvent | readonly DomainEvent[];
type Instance = Record<string, (handled: Handled, context: HandlerContext) => unknown>;

/** Finds the `@EventHandler` methods of all providers and controllers of the application. */
export class HandlersExplorer {
  private readonly scanner = new MetadataScanner();
  private readonly injector = new Injector();

  constructor(
    private readonly discovery: DiscoveryService,
    private readonly moduleRef: ModuleRef,
    private readonly defaults: HandlerDefaults,
  ) {}

  /** @throws DuplicateHandlerError | InvalidHandlerError | UnknownQueueError */
  explore(): HandlerDefinition[] {
    const found = new Map<string, HandlerDefinition>();
    for (const wrapper of [...this.discovery.getProviders(), ...this.discovery.getControllers()]) {
      for (const handler of this.handlersOf(wrapper)) {
        for (const id of [handler.id, ...handler.aliases]) {
          const other = found.get(id);
          if (other !== undefined) {
            throw new DuplicateHandlerError(id, [other.place, handler.place]);
          }
          found.set(id, handler);
        }
      }
    }
    return [...new Set(found.values())];
  }

  private handlersOf(wrapper: InstanceWrapper): HandlerDefinition[] {
    const prototype = prototypeOf(wrapper);
    if (prototype === undefined) return [];
    const className = prototype.constructor.name;
    return this.scanner.getAllMethodNames(prototype).flatMap((method) => {
      const uses = handlerMetadata(prototype[method] as object);
      if (uses.length === 0) return [];
      const place = `${className}.${method} (in ${wrapper.host?.name ?? 'unknown module'})`;
      const source = {
        place,
        defaultId: `${className}.${method}`,
        invoke: this.invoker(wrapper, method),
      };
      return merged(uses, source).map((use) => defineHandler(use, source, this.defaults));
    });
  }

  private invoker(wrapper: InstanceWrapper, method: string): HandlerDefinition['invoke'] {
    if (wrapper.isDependencyTreeStatic() && !wrapper.isTransient) {
      return async (handled, context) => (wrapper.instance as Instance)[method]?.(handled, context);
    }
    return async (handled, context) => {
      const what = isBatch(handled) ? { events: handled } : { event: handled };
      const instance = await this.resolve(wrapper, { ...what, context });
      return instance[method]?.(handled, context);
    };
  }

  /**
   * A fresh instance per delivery, also of a transient provider. `@Inject(REQUEST)` gives it
   * `{ event, context }`, or `{ events, context }` of a batch.
   */
  private async resolve(wrapper: InstanceWrapper, request: object): Promise<Instance> {
    const contextId = ContextIdFactory.getByRequest(request);
    this.moduleRef.registerRequestByContextId(request, contextId);
    const host = wrapper.host;
    if (host === undefined) throw new Error(`${wrapper.name} belongs to no module`);
    const collection = host.controllers.has(wrapper.token) ? host.controllers : host.providers;
    return this.injector.loadPerContext<Instance>(
      wrapper.instance as Instance,
      host,
      collection,
      contextId,
      wrapper,
    );
  }
}

function isBatch(handled: Handled): handled is readonly DomainEvent[] {
  return Array.isArray(handled);
}

/** The prototype to scan; aliases (`useExisting`) are found through what they stand for. */
function prototypeOf(wrapper: InstanceWrapper): Record<string, unknown> | undefined {
  // Request-scoped providers have an empty instance with the right prototype here.
  const instance = wrapper.instance as unknown;
  if (wrapper.isAlias || typeof instance !== 'object' || instance === null) return undefined;
  return (Object.getPrototypeOf(instance) ?? undefined) as Record<string, unknown> | undefined;
}

/** Several decorators on one method that differ in nothing but the event are one handler. */
function merged(
  uses: readonly HandlerMetadata[],
  source: { place: string; defaultId: string },
): HandlerMetadata[] {
  const perId = new Map<string, HandlerMetadata>();
  for (const use of uses) {
    const id = use.options.id ?? source.defaultId;
    const known = perId.get(id);
    if (known !== undefined && !isDeepStrictEqual(known.options, use.options)) {
      throw new InvalidHandlerError(
        source.place,
        `is decorated several times with different options but one id, "${id}". Give each its own id.`,
      );
    }
    perId.set(id, { events: [...(known?.events ?? []), ...use.events], options: use.options });
  }
  return [...perId.values()];
}
