import { pause } from '../common/time-limit.js';
import type { DeliveryExecutor } from '../handle/delivery-executor.js';
import type { HandlerDirectory } from '../handle/handler-directory.js';
import type { DeliverySignal, SignalCatalogue, Signals } from '../observability/signals.js';
import { RetryJob, type DeliveryJob } from '../queue/event-queue.js';
import type { DeliveryPusher } from '../relay/delivery-pusher.js';
import type { Relay } from '../relay/relay.js';
import { parsePayload } from '../event/payload.js';
import type { EventStore, LoggedEvent, QueuedDelivery } from '../store/event-store.js';
import { DrainBlockedError, DrainLimitError } from './testing.errors.js';
import type { DeliveryRun, RunOutcome } from './record/delivery-run.js';

/** Which waits before next attempts a drain skips. */
export type Retries = 'all' | 'none';

/** Read at a time, of what is queued. */
const PAGE = 500;
/** How often, and after how many ms, to ask again for the relay's lock. */
const BUSY = { times: 50, waitMs: 20 };

export interface DrainParts {
  readonly store: EventStore;
  readonly relay: Relay;
  readonly pusher: DeliveryPusher;
  readonly directory: HandlerDirectory;
  readonly executor: DeliveryExecutor;
  readonly signals: Signals;
}

/** A delivery that is queued, with the job that the relay would push for it. */
interface Waiting {
  readonly delivery: QueuedDelivery;
  readonly job: DeliveryJob;
}

/** Relays and runs, one after the other, until nothing is due. */
export class Drain {
  /** The events that are being delivered, by their ids: several, where a handler takes batches. */
  private running = new Map<string, LoggedEvent>();
  private runs: DeliveryRun[] = [];
  /** Time that the test has let pass, in ms. */
  private passed = 0;
  /** Delivery → when its next attempt is due, on that clock: on a slow machine none is due by itself. */
  private readonly retries = new Map<string, number>();
  /** Postponements of the delivery that runs. */
  private readonly blocks: Pick<
    SignalCatalogue['delivery.postponed'],
    'event' | 'handler' | 'error'
  >[] = [];

  constructor(private readonly parts: DrainParts) {
    const { signals } = parts;
    // A test waits for nobody: a batch is what is due.
    parts.executor.hurry();
    signals.on('delivery.completed', (signal) => this.note('completed', signal));
    signals.on('delivery.failed', (signal) => {
      this.note('failed', signal);
      this.retries.set(nameOf(signal), this.passed + signal.retryInMs);
    });
    signals.on('delivery.dead', (signal) => {
      this.note('dead', signal);
      // A redrive is due at once.
      this.retries.delete(nameOf(signal));
    });
    signals.on('delivery.postponed', ({ event, handler, error }) => {
      this.blocks.push({ event, handler, error });
    });
  }

  /** The test has let time pass. */
  advance(ms: number): void {
    this.passed += ms;
  }

  /**
   * @param retries `all`: attempts that wait for their backoff are due
   * @param limit how many attempts to make at most
   * @param onRun called with each attempt
   * @throws DrainLimitError where more is due
   * @throws DrainBlockedError where the database keeps it from going on
   */
  async run(
    retries: Retries,
    limit: number,
    onRun: (run: DeliveryRun) => void,
  ): Promise<DeliveryRun[]> {
    const runs: DeliveryRun[] = [];
    this.runs = runs;
    /** Tried, and still queued without an attempt that counts: not to be tried for ever. */
    const left = new Set<string>();
    for (;;) {
      await this.relayAll();
      const due = (await this.waiting(retries)).filter(
        ({ delivery }) => !left.has(refOf(delivery)),
      );
      if (due.length === 0) return runs;
      for (const group of this.batches(due)) {
        const room = limit - runs.length;
        if (room <= 0) throw new DrainLimitError(limit, runs);
        const before = runs.length;
        const delivered = group.slice(0, room);
        await this.deliver(delivered);
        const made = runs.slice(before);
        for (const { delivery } of delivered) {
          const { eventId } = delivery.event;
          if (!made.some(({ event }) => event.eventId === eventId)) left.add(refOf(delivery));
        }
        made.forEach(onRun);
      }
    }
  }

  /**
   * What is delivered together: to a batch handler all that is due, up to its size; but what has failed
   * before, alone.
   */
  private batches(due: readonly Waiting[]): Waiting[][] {
    const groups: Waiting[][] = [];
    const open = new Map<string, Waiting[]>();
    for (const waiting of due) {
      const { handler, event } = waiting.delivery;
      if (this.retries.has(nameOf({ eventId: event.eventId, handler }))) {
        groups.push([waiting]);
        continue;
      }
      const { size = 1 } = this.parts.directory.findLocal(handler)?.batch ?? {};
      let group = open.get(handler);
      if (group === undefined || group.length >= size) {
        group = [];
        groups.push(group);
        open.set(handler, group);
      }
      group.push(waiting);
    }
    return groups;
  }

  private async relayAll(): Promise<void> {
    for (let busy = 0; ;) {
      const result = await this.parts.relay.runOnce();
      if (result === 'idle') return;
      if (result !== 'busy') continue;
      if (++busy > BUSY.times) {
        throw new DrainBlockedError(
          'another transaction holds the relay. Is one in which drain() was called still open? End it ' +
            'first, or drain in it: drain({ manager }).',
        );
      }
      await pause(BUSY.waitMs);
    }
  }

  /** In the order of the log; handlers of other processes are left to them. */
  private async waiting(retries: Retries): Promise<Waiting[]> {
    const { store, pusher, directory } = this.parts;
    const handlers = await store.handlers();
    const found: Waiting[] = [];
    let from: string | undefined;
    do {
      const page = await store.queuedDeliveries(PAGE, from);
      if (page.again) break;
      for (const delivery of page.deliveries) {
        const isDue = retries === 'all' || this.isDue(delivery);
        const isHere = directory.findLocal(delivery.handler)?.events.includes(delivery.event.name);
        const [job] = isDue && isHere === true ? pusher.rescueJobs([delivery], handlers) : [];
        if (job !== undefined) found.push({ delivery, job });
      }
      from = page.next;
    } while (from !== undefined);
    return found.toSorted(byPosition);
  }

  private isDue({ dueInMs, event: { eventId }, handler }: QueuedDelivery): boolean {
    return dueInMs === 0 && (this.retries.get(nameOf({ eventId, handler })) ?? 0) <= this.passed;
  }

  private async deliver(group: readonly Waiting[]): Promise<void> {
    this.running = new Map(group.map(({ delivery: { event } }) => [event.eventId, event]));
    this.blocks.length = 0;
    try {
      await Promise.all(group.map(({ job }) => this.process(job)));
    } finally {
      this.running.clear();
    }
    const [block] = this.blocks;
    if (block === undefined) return;
    const why = block.error instanceof Error ? block.error.message : String(block.error);
    throw new DrainBlockedError(
      `${block.event} could not be delivered to ${block.handler}, which costs no attempt: ${why}`,
      { cause: block.error },
    );
  }

  private async process(job: DeliveryJob): Promise<void> {
    try {
      // As a queue hands it over.
      const data = JSON.parse(JSON.stringify(job.data)) as DeliveryJob['data'];
      await this.parts.executor.process({ ...job, data, earlierRuns: 0 });
    } catch (error) {
      if (!(error instanceof RetryJob)) throw error;
    }
  }

  private note(
    outcome: RunOutcome,
    {
      eventId = '',
      handler,
      attempt,
      error,
    }: DeliverySignal & { attempt: number; error?: unknown },
  ): void {
    const event = this.running.get(eventId);
    if (event === undefined) return;
    const { name, version } = event;
    this.runs.push({
      handler,
      event: { eventId, name, version, data: parsePayload(event).data },
      outcome,
      attempt,
      error,
    });
  }
}

function byPosition({ delivery: a }: Waiting, { delivery: b }: Waiting): number {
  return a.position - b.position || (a.handler < b.handler ? -1 : 1);
}

/** (Its job may be that of a chunk, which others have too.) */
function refOf({ position, handler, epoch }: QueuedDelivery): string {
  return `${position} ${handler} ${epoch}`;
}

function nameOf({ eventId, handler }: Pick<DeliverySignal, 'eventId' | 'handler'>): string {
  return `${eventId} ${handler}`;
}
