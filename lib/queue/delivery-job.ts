import { createHash, randomBytes } from 'node:crypto';
import type { ChunkedRef, LoggedEvent, RegisteredHandler } from '../store/event-store.js';
import type { DeliveryJob, JobDelivery } from './event-queue.js';

/** This process in jobs, which all processes read. */
export const THIS_PROCESS = randomBytes(6).toString('hex');

/**
 * Id of the job that carries a delivery in one epoch: its own one, or its chunk's. BullMQ allows no `:`
 * and no integers; the handler's part is kept readable where it fits and hashed where it was changed, so
 * that different handlers never share an id.
 */
export function jobId(namespace: string, { position, handler, epoch, chunk }: ChunkedRef): string {
  const which = chunk === null ? position : `c${chunk}`;
  return `${namespace}-${which}-${safeHandler(handler)}-${epoch}`;
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

/** Where jobs go. */
export interface JobTarget {
  readonly queue: string;
  readonly priority: number | undefined;
}

/** The job of deliveries of one handler, epoch and chunk; of one delivery where there is no chunk. */
export function toJob(
  namespace: string,
  ref: ChunkedRef,
  deliveries: readonly JobDelivery[],
  { queue, priority }: JobTarget,
): DeliveryJob {
  const { handler, chunk } = ref;
  return {
    id: jobId(namespace, ref),
    queue,
    priority,
    data: { handler, ...(chunk !== null && { chunk }), deliveries },
  };
}

/** The job as it is pushed once more: it may have been run since it was made. */
export function toRepeatedJob(job: DeliveryJob): DeliveryJob {
  const deliveries = job.data.deliveries.map(({ position, epoch, event }) => ({
    position,
    epoch,
    ...(event && { event }),
  }));
  return { ...job, data: { ...job.data, deliveries } };
}

/** Large events stay out of the queue's memory (failure mode B5). */
export function isInline({ data, metadata }: LoggedEvent, maxInlineBytes: number): boolean {
  return Buffer.byteLength(data) + Buffer.byteLength(metadata ?? '') <= maxInlineBytes;
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
