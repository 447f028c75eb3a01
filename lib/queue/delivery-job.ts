import { createHash } from 'node:crypto';
import type { DeliveryRef, LoggedEvent, RegisteredHandler } from '../store/event-store.js';
import type { DeliveryJob } from './event-queue.js';

/**
 * Job id of a delivery in one epoch. BullMQ allows no `:` and no integers; the handler's part is
 * kept readable where it fits and hashed where it was changed, so that different handlers never
 * share an id.
 */
export function jobId(namespace: string, { position, handler, epoch }: DeliveryRef): string {
  return `${namespace}-${position}-${safeHandler(handler)}-${epoch}`;
}

function safeHandler(handler: string): string {
  const safe = handler.replaceAll(/[^A-Za-z0-9_-]/g, '_').slice(0, 60);
  if (safe === handler) return safe;
  return `${safe}-${createHash('sha256').update(handler).digest('hex').slice(0, 12)}`;
}

/**
 * BullMQ's name of a queue. No part may hold a dot, so no two queues share a name. The identity keeps
 * services apart that share a Redis and have each a namespace of that name in a database of its own.
 */
export function queueName(scope: { namespace: string; identity: string }, queue: string): string {
  return `events.${scope.namespace}.${queue}.${scope.identity}`;
}

export function toJob(
  namespace: string,
  ref: DeliveryRef,
  event: LoggedEvent,
  target: { queue: string; priority: number | undefined },
  maxInlineBytes: number,
): DeliveryJob {
  const { position, handler, epoch } = ref;
  const inline = isInline(event, maxInlineBytes);
  return {
    id: jobId(namespace, ref),
    queue: target.queue,
    priority: target.priority,
    data: { handler, deliveries: [{ position, epoch, ...(inline && { event }) }] },
  };
}

/** Large events stay out of the queue's memory (failure mode B5). */
function isInline(event: LoggedEvent, maxInlineBytes: number): boolean {
  const { data, metadata } = event;
  return Buffer.byteLength(JSON.stringify({ data, metadata })) <= maxInlineBytes;
}

/**
 * Priority of each handler's jobs. Where all handlers of a queue have the same one, none is given:
 * plain first-come-first-served jobs are cheaper for BullMQ, and the order is the same.
 */
export function jobPriorities(
  handlers: readonly RegisteredHandler[],
): Map<string, number | undefined> {
  const perQueue = new Map<string, RegisteredHandler[]>();
  for (const handler of handlers) {
    const members = perQueue.get(handler.queue);
    if (members === undefined) perQueue.set(handler.queue, [handler]);
    else members.push(handler);
  }
  const priorities = new Map<string, number | undefined>();
  for (const members of perQueue.values()) {
    const mixed = new Set(members.map(({ priority }) => priority)).size > 1;
    for (const { id, aliases, priority } of members) {
      for (const name of [id, ...aliases]) priorities.set(name, mixed ? priority : undefined);
    }
  }
  return priorities;
}
