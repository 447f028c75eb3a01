import type { Provider } from '@nestjs/common';
import {
  EventHandler,
  type BatchOptions,
  type DomainEvent,
  type EventDefinition,
  type HandlerContext,
  type HandlerOptions,
} from 'nestjs-durable-events';

type EventRef = EventDefinition | string;
/** What an inline handler runs; `data` is for the test to know. */
type Run = (
  // `any`: a test knows what it has emitted.
  // oxlint-disable-next-line typescript/no-explicit-any
  event: DomainEvent<any>,
  context: HandlerContext,
) => unknown;

type RunBatch = (
  // oxlint-disable-next-line typescript/no-explicit-any
  events: readonly DomainEvent<any>[],
  context: HandlerContext,
) => unknown;

/** A provider with one handler, for tests in which the class doesn't matter. */
export function onEvent(
  event: EventRef | readonly EventRef[],
  options: HandlerOptions & { id: string },
  run: Run,
): Provider {
  return provide(event, options, run as Handle);
}

/** The same with a batch handler. */
export function onBatch(
  event: EventRef | readonly EventRef[],
  options: HandlerOptions & { id: string; batch: BatchOptions },
  run: RunBatch,
): Provider {
  return provide(event, options, run as Handle);
}

type Handle = (received: unknown, context: HandlerContext) => unknown;

function provide(
  event: EventRef | readonly EventRef[],
  options: HandlerOptions & { id: string },
  run: Handle,
): Provider {
  class Inline {
    handle(received: unknown, context: HandlerContext): unknown {
      return run(received, context);
    }
  }
  const { prototype } = Inline;
  const descriptor = Object.getOwnPropertyDescriptor(prototype, 'handle') as PropertyDescriptor;
  EventHandler(event as string, options)(prototype, 'handle', descriptor);
  return { provide: Symbol(options.id), useValue: new Inline() };
}
