import { positionsOf } from '../store/chunks.js';
import type {
  ChunkedRef,
  DeliveryRef,
  EventStore,
  RegisteredHandler,
  RescuedDelivery,
} from '../store/event-store.js';

/** Deliveries, or events, that are read at once. */
const AT_ONCE = 500;

/**
 * Completes the chunks of deliveries that are to be pushed again, page by page. A job must carry all of
 * its chunk: of several jobs with its id the queue keeps the first, and pages cut chunks, as do other
 * processes that push at the same time.
 */
export class WholeChunks {
  /** Chunks of the last page: what comes of them with the next one was pushed with them. */
  private last: ReadonlySet<string> = new Set();

  constructor(private readonly store: Pick<EventStore, 'deliveryStates' | 'readEvents'>) {}

  /**
   * The deliveries that are to be pushed for a page, in the order of positions: without those of chunks
   * that the page before has begun, and with what else is queued in their chunks.
   */
  async of<Delivery extends RescuedDelivery>(
    page: readonly Delivery[],
    handlers: readonly RegisteredHandler[],
  ): Promise<(Delivery | RescuedDelivery)[]> {
    const deliveries = page.filter((ref) => ref.chunk === null || !this.last.has(chunkName(ref)));
    this.last = new Set(page.filter(({ chunk }) => chunk !== null).map(chunkName));
    const others = await this.withEvents(await this.othersOf(deliveries, handlers));
    return [...deliveries, ...others].toSorted((a, b) => a.position - b.position);
  }

  private async othersOf(
    deliveries: readonly ChunkedRef[],
    handlers: readonly RegisteredHandler[],
  ): Promise<ChunkedRef[]> {
    const byName = new Map(
      handlers.flatMap((each) => [each.id, ...each.aliases].map((name) => [name, each])),
    );
    const known = new Set(deliveries.map(deliveryName));
    const chunks = new Map(deliveries.map((ref) => [chunkName(ref), ref]));
    const asked = new Map<string, DeliveryRef>();
    for (const { handler, epoch, chunk } of chunks.values()) {
      const registered = byName.get(handler);
      if (chunk === null || registered === undefined) continue;
      for (const position of positionsOf(chunk, registered)) {
        const ref = { position, handler, epoch };
        const name = deliveryName(ref);
        if (!known.has(name)) asked.set(name, ref);
      }
    }
    const found: ChunkedRef[] = [];
    for (const refs of inParts([...asked.values()])) {
      for (const state of await this.store.deliveryStates(refs)) {
        if (state?.status !== 'queued' || state.chunk === null) continue;
        if (chunks.has(chunkName(state))) found.push(state);
      }
    }
    return found;
  }

  private async withEvents(refs: readonly ChunkedRef[]): Promise<RescuedDelivery[]> {
    const found: RescuedDelivery[] = [];
    for (const part of inParts(refs)) {
      const events = await this.store.readEvents([...new Set(part.map((ref) => ref.position))]);
      const byPosition = new Map(events.map((event) => [event.position, event]));
      for (const { position, handler, epoch, chunk } of part) {
        const event = byPosition.get(position);
        if (event !== undefined) found.push({ position, handler, epoch, chunk, event });
      }
    }
    return found;
  }
}

function inParts<Item>(items: readonly Item[]): Item[][] {
  return Array.from({ length: Math.ceil(items.length / AT_ONCE) }, (_, part) =>
    items.slice(part * AT_ONCE, (part + 1) * AT_ONCE),
  );
}

function deliveryName({ position, handler, epoch }: DeliveryRef): string {
  return `${position} ${epoch} ${handler}`;
}

function chunkName({ chunk, epoch, handler }: ChunkedRef): string {
  return `${chunk} ${epoch} ${handler}`;
}
