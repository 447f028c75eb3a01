import {
  isInline,
  jobPriorities,
  THIS_PROCESS,
  toJob,
  type JobTarget,
} from '../queue/delivery-job.js';
import type { DeliveryJob, EventQueue, FreshDelivery, JobDelivery } from '../queue/event-queue.js';
import { chunkAt, chunkSize } from '../store/chunks.js';
import type {
  ChunkedRef,
  QueuedDelivery,
  RegisteredHandler,
  RelayedBatch,
  RescuedDelivery,
} from '../store/event-store.js';

/** Deliveries per push, at least: each push is answered in time. */
const PUSHED_AT_ONCE = 1_000;

/** Makes jobs of deliveries and pushes them to the queue. */
export class DeliveryPusher {
  constructor(
    private readonly queue: EventQueue,
    private readonly settings: { namespace: string; maxInlineBytes: number },
  ) {}

  ready(): Promise<void> {
    return this.queue.ready();
  }

  /** @param onProgress called with what is left after each part that was pushed */
  async push(
    jobs: readonly DeliveryJob[],
    onProgress: (left: readonly DeliveryJob[]) => void = () => undefined,
  ): Promise<void> {
    for (let start = 0; start < jobs.length;) {
      let end = start;
      for (let count = 0; end < jobs.length && count < PUSHED_AT_ONCE; end++) {
        count += jobs[end]?.data.deliveries.length ?? 0;
      }
      await this.queue.push(jobs.slice(start, end));
      onProgress(jobs.slice(end));
      start = end;
    }
  }

  /**
   * Jobs for the same fan-out, in the same chunks, that the relay transaction stored.
   *
   * @param since before that transaction, by `performance.now()`
   */
  jobsOf({ events, handlers }: RelayedBatch, since: number): DeliveryJob[] {
    const first = events[0]?.position ?? 0;
    const subscribers = new Map<string, { id: string; size: number; fresh: FreshDelivery }[]>();
    for (const handler of handlers) {
      const { id, maxAttempts } = handler;
      const size = chunkSize(handler, events.length);
      const subscriber = { id, size, fresh: { by: THIS_PROCESS, since, maxAttempts } };
      for (const name of new Set(handler.events)) {
        const list = subscribers.get(name);
        if (list === undefined) subscribers.set(name, [subscriber]);
        else list.push(subscriber);
      }
    }
    const deliveries = events.flatMap((event) => {
      const { position } = event;
      return (subscribers.get(event.name) ?? []).map(({ id, size, fresh }) => ({
        position,
        handler: id,
        epoch: 0,
        chunk: chunkAt(position, first, size),
        event,
        ...(size === 1 && { fresh }),
      }));
    });
    return this.jobs(deliveries, handlers);
  }

  /** Jobs of overdue deliveries; those of handlers nobody has any more are left out. */
  rescueJobs(
    deliveries: readonly RescuedDelivery[],
    handlers: readonly RegisteredHandler[],
  ): DeliveryJob[] {
    return this.jobs(deliveries, handlers);
  }

  /** Like {@link rescueJobs}, with the waits before next attempts that a wiped queue has lost. */
  refillJobs(
    deliveries: readonly (RescuedDelivery & Partial<QueuedDelivery>)[],
    handlers: readonly RegisteredHandler[],
  ): DeliveryJob[] {
    const due = deliveries.filter(({ dueInMs = 0 }) => dueInMs <= 0);
    const later = deliveries.filter(({ dueInMs = 0 }) => dueInMs > 0);
    return [
      ...this.jobs(due, handlers),
      // Those have failed before, and left their chunks.
      ...later.flatMap(({ dueInMs = 0, ...delivery }) =>
        this.jobs([delivery], handlers).map((job) => ({ ...job, delayMs: dueInMs })),
      ),
    ];
  }

  private jobs(
    deliveries: readonly (RescuedDelivery & { fresh?: FreshDelivery })[],
    handlers: readonly RegisteredHandler[],
  ): DeliveryJob[] {
    const { namespace, maxInlineBytes } = this.settings;
    const targets = targetsOf(handlers);
    const inline = new Map<unknown, boolean>();
    const toJobDelivery = ({
      position,
      epoch,
      event,
      fresh,
    }: (typeof deliveries)[number]): JobDelivery => {
      const known = inline.get(event) ?? isInline(event, maxInlineBytes);
      inline.set(event, known);
      return { position, epoch, ...(known && { event }), ...(fresh && { fresh }) };
    };
    return groupBy(deliveries, chunkName).flatMap((group) => {
      const [first] = group as [RescuedDelivery];
      const target = targets.get(first.handler);
      if (target === undefined) return [];
      return [toJob(namespace, first, group.map(toJobDelivery), target)];
    });
  }
}

export function countDeliveries(jobs: readonly DeliveryJob[]): number {
  return jobs.reduce((sum, { data }) => sum + data.deliveries.length, 0);
}

/** How many of the deliveries are of handlers that somebody has: jobs are made of those only. */
export function countKnown(
  deliveries: readonly { readonly handler: string }[],
  handlers: readonly RegisteredHandler[],
): number {
  const known = new Set(handlers.flatMap(({ id, aliases }) => [id, ...aliases]));
  return deliveries.filter(({ handler }) => known.has(handler)).length;
}

/** Deliveries of one name share a job. */
function chunkName({ position, handler, epoch, chunk }: ChunkedRef): string {
  return chunk === null ? `${position} ${epoch} ${handler}` : `c${chunk} ${epoch} ${handler}`;
}

function groupBy<Item>(items: readonly Item[], groupOf: (item: Item) => string): Item[][] {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const name = groupOf(item);
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [item]);
    else group.push(item);
  }
  return [...groups.values()];
}

/** Handler id or alias → where its jobs go. */
function targetsOf(handlers: readonly RegisteredHandler[]): Map<string, JobTarget> {
  const priorities = jobPriorities(handlers);
  return new Map(
    handlers.flatMap(({ id, aliases, queue }) =>
      [id, ...aliases].map((name) => [name, { queue, priority: priorities.get(id) }] as const),
    ),
  );
}
