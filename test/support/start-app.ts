import { randomUUID } from 'node:crypto';
import type {
  EmittedEvent,
  EmitOptions,
  EventDefinition,
  SignalCatalogue,
  SignalName,
} from 'nestjs-durable-events';
import { onTestFinished } from 'vitest';
import { startTestApp, type TestApp, type TestAppOptions } from './test-app.js';

/** A namespace of the test's own: its events, handlers and queues meet nobody else's. */
export function newNamespace(): string {
  return `t${randomUUID().slice(0, 8)}`;
}

/** {@link startTestApp}, closed with the test. */
export async function startApp(options: TestAppOptions): Promise<TestApp> {
  const app = await startTestApp(options);
  onTestFinished(() => app.close());
  return app;
}

/** Emits one event in a transaction of its own. */
export function emitIn(
  app: TestApp,
  event: EventDefinition | string,
  data: unknown = {},
  options: EmitOptions = {},
): Promise<EmittedEvent> {
  return app.dataSource.transaction(() => app.bus.emit(event as string, data, options));
}

/** Resolves after `count` signals of that name in all the apps together. */
export function countAcross<Name extends SignalName>(
  apps: readonly TestApp[],
  name: Name,
  count: number,
  timeoutMs = 15_000,
): Promise<SignalCatalogue[Name][]> {
  return new Promise((resolve, reject) => {
    const seen: SignalCatalogue[Name][] = [];
    const timer = setTimeout(
      () => reject(new Error(`${seen.length} of ${count} signals "${name}" in ${timeoutMs} ms`)),
      timeoutMs,
    );
    for (const { signals } of apps) {
      signals.on(name, (message) => {
        seen.push(message);
        if (seen.length < count) return;
        clearTimeout(timer);
        resolve(seen);
      });
    }
  });
}
