import { defineEvent, type HandlerContext } from 'nestjs-durable-events';
import { onEvent } from '../support/inline-handler.js';
import { newNamespace, startApp } from '../support/start-app.js';
import type { TestApp, TestBackends } from '../support/test-app.js';

export const Ordered = defineEvent<{ n: number }>('ordered');

export type Reserve = (context: HandlerContext, app: TestApp) => unknown;

/** An app with one transactional handler that gets two attempts, unless said otherwise. */
export async function startReserving(backends: TestBackends, reserve: Reserve, attempts = 2) {
  const namespace = newNamespace();
  const app: TestApp = await startApp({
    url: backends.database.url,
    events: { namespace, queue: backends.redis, defaults: { attempts, backoff: 5 } },
    providers: [
      onEvent(Ordered, { id: 'reserves', transactional: true }, (_event, context) =>
        reserve(context, app),
      ),
    ],
  });
  return { app, namespace };
}
