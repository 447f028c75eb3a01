import { isInline, jobPriorities, toJob, type JobTarget } from '../queue/delivery-job.js';
import type { DeliveryJob, EventQueue, JobDelivery } from '../queue/event-queue.js';
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

  /** Jobs for the same fan-out, in the same chunks, that the relay transaction stored. */
  jobsOf({ events, handlers }: RelayedBatch): DeliveryJob[] {
    const first = events[0]?.position ?? 0;
    const subscribers = new Map<string, { id: string; size: number }[]>();
    for (const handler of handlers) {
      const subscriber = { id: handler.id, size: chunkSize(handler, events.length) };
      for (const name of new Set(handler.events)) {
        const list = subscribers.get(name);
        if (list === undefined) subscribers.set(name, [subscriber]);
        else list.push(subscriber);
      }
    }
    const deliveries = events.flatMap((event) => {
      const { position } = event;
      return (subscribers.get(event.name) ?? []).map(({ id, size }) => ({
        position,
        handler: id,
        epoch: 0,
        chunk: chunkAt(position, first, size),
        event,
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
    deliveries: readonly QueuedDelivery[],
    handlers: readonly RegisteredHandler[],
  ): DeliveryJob[] {
    const due = deliveries.filter(({ dueInMs }) => dueInMs <= 0);
    const later = deliveries.filter(({ dueInMs }) => dueInMs > 0);
    return [
      ...this.jobs(due, handlers),
      // Those have failed before, and left their chunks.
      ...later.flatMap(({ dueInMs, ...delivery }) =>
        this.jobs([delivery], handlers).map((job) => ({ ...job, delayMs: dueInMs })),
      ),
    ];
  }

  private jobs(
    deliveries: readonly RescuedDelivery[],
    handlers: readonly RegisteredHandler[],
  ): DeliveryJob[] {
    const { namespace, maxInlineBytes } = this.settings;
    const targets = targetsOf(handlers);
    const inline = new Map<unknown, boolean>();
    const toJobDelivery = ({ position, epoch, event }: RescuedDelivery): JobDelivery => {
      const known = inline.get(event) ?? isInline(event, maxInlineBytes);
      inline.set(event, known);
      return { position, epoch, ...(known && { event }) };
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

/** Deliveries of one name share a job. */
function chunkName({ position, handler, epoch, chunk }: ChunkedRef): string {
  return chunk === null ? `${position} ${epoch} ${handler}` : `c${chunk} ${epoch} ${handler}`;
}

/**
 * The deliveries of the last chunk of each handler, which a page may have cut: its rest comes with the
 * next one, in the order of positions. Pushed alone, they would keep the whole chunk out of the queue.
 */
export function cutChunks<Delivery extends ChunkedRef>(page: readonly Delivery[]): Delivery[] {
  const last = new Map(page.map((delivery) => [delivery.handler, delivery]));
  const names = new Set(
    [...last.values()].filter(({ chunk }) => chunk !== null).map((delivery) => chunkName(delivery)),
  );
  return page.filter((delivery) => names.has(chunkName(delivery)));
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
