import { jobPriorities, toJob } from '../queue/delivery-job.js';
import type { DeliveryJob, EventQueue } from '../queue/event-queue.js';
import type {
  QueuedDelivery,
  RegisteredHandler,
  RelayedBatch,
  RescuedDelivery,
} from '../store/event-store.js';

/** Jobs per push. */
const CHUNK = 1_000;

/** Makes jobs of deliveries and pushes them to the queue. */
export class DeliveryPusher {
  constructor(
    private readonly queue: EventQueue,
    private readonly settings: { namespace: string; maxInlineBytes: number },
  ) {}

  ready(): Promise<void> {
    return this.queue.ready();
  }

  /**
   * Pushes in chunks, so that each is answered in time.
   *
   * @param onProgress called with what is left after each chunk
   */
  async push(
    jobs: readonly DeliveryJob[],
    onProgress: (left: readonly DeliveryJob[]) => void = () => undefined,
  ): Promise<void> {
    for (let start = 0; start < jobs.length; start += CHUNK) {
      await this.queue.push(jobs.slice(start, start + CHUNK));
      onProgress(jobs.slice(start + CHUNK));
    }
  }

  /** One job per event and subscribed handler: the same fan-out the relay transaction stored. */
  jobsOf({ events, handlers }: RelayedBatch): DeliveryJob[] {
    const subscribers = new Map<string, RegisteredHandler[]>();
    for (const handler of handlers) {
      for (const name of new Set(handler.events)) {
        const list = subscribers.get(name);
        if (list === undefined) subscribers.set(name, [handler]);
        else list.push(handler);
      }
    }
    const targets = this.targets(handlers);
    return events.flatMap((event) =>
      (subscribers.get(event.name) ?? []).map(({ id }) =>
        this.job({ position: event.position, handler: id, epoch: 0, event }, targets),
      ),
    );
  }

  /** Jobs of overdue deliveries; those of handlers nobody has any more are left out. */
  rescueJobs(
    deliveries: readonly RescuedDelivery[],
    handlers: readonly RegisteredHandler[],
  ): DeliveryJob[] {
    const targets = this.targets(handlers);
    return deliveries
      .filter(({ handler }) => targets.has(handler))
      .map((delivery) => this.job(delivery, targets));
  }

  /** Like {@link rescueJobs}, with the waits before next attempts that a wiped queue has lost. */
  refillJobs(
    deliveries: readonly QueuedDelivery[],
    handlers: readonly RegisteredHandler[],
  ): DeliveryJob[] {
    const targets = this.targets(handlers);
    return deliveries
      .filter(({ handler }) => targets.has(handler))
      .map(({ dueInMs, ...delivery }) => ({
        ...this.job(delivery, targets),
        ...(dueInMs > 0 && { delayMs: dueInMs }),
      }));
  }

  private job(delivery: RescuedDelivery, targets: Targets): DeliveryJob {
    const { namespace, maxInlineBytes } = this.settings;
    const { event, ...ref } = delivery;
    const target = targets.get(delivery.handler) as Target;
    return toJob(namespace, ref, event, target, maxInlineBytes);
  }

  /** Handler id or alias → where its jobs go. */
  private targets(handlers: readonly RegisteredHandler[]): Targets {
    const priorities = jobPriorities(handlers);
    const targets: Targets = new Map();
    for (const { id, aliases, queue } of handlers) {
      for (const name of [id, ...aliases]) {
        targets.set(name, { queue, priority: priorities.get(id) });
      }
    }
    return targets;
  }
}

interface Target {
  readonly queue: string;
  readonly priority: number | undefined;
}
type Targets = Map<string, Target>;
