import type { Provider } from '@nestjs/common';
import {
  EventHandler,
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

/** A provider with one handler, for tests in which the class doesn't matter. */
export function onEvent(
  event: EventRef | readonly EventRef[],
  options: HandlerOptions & { id: string },
  run: Run,
): Provider {
  class Inline {
    handle(received: DomainEvent, context: HandlerContext): unknown {
      return run(received, context);
    }
  }
  const { prototype } = Inline;
  const descriptor = Object.getOwnPropertyDescriptor(prototype, 'handle') as PropertyDescriptor;
  EventHandler(event as string, options)(prototype, 'handle', descriptor);
  return { provide: Symbol(options.id), useValue: new Inline() };
}
