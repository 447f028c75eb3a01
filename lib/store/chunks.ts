import type { ChunkedRef, DeliveryRef, RegisteredHandler } from './event-store.js';

/** Deliveries that one job carries at most, where the handler does not say. */
const MAX_CHUNK = 50;
/** Jobs that the deliveries of one relay pass are spread over at least: the work of several workers. */
const MIN_JOBS = 10;

type Chunked = Pick<RegisteredHandler, 'perJob' | 'batchSize'>;

/** How many of a handler's deliveries may share a job: `max`, and at most a `share`-th of a pass. */
export interface ChunkLimits {
  readonly max: number;
  readonly share: number;
}

/**
 * Which deliveries share a job (a chunk): jobs are dear, deliveries cheap. Where few events wait, each
 * delivery has a job of its own, and so it has where its handler is slow (`perJob`). Where that is not
 * known yet, it shows when the chunk is run, see `handle/chunk-turns.ts`. A batch handler's jobs are as
 * large as its batches: smaller ones would have to find each other, larger ones would run several
 * batches where the queue's concurrency allows one.
 */
export function chunkLimits({ perJob = MAX_CHUNK, batchSize }: Chunked): ChunkLimits {
  if (batchSize !== undefined) return { max: batchSize, share: 1 };
  return { max: Math.min(perJob, MAX_CHUNK), share: MIN_JOBS };
}

/** The size of a handler's chunks where so many events are moved, or deliveries pushed, at once. */
export function chunkSize(handler: Chunked, count: number): number {
  const { max, share } = chunkLimits(handler);
  return Math.max(1, Math.min(max, Math.floor(count / share)));
}

/**
 * The chunk of an event's delivery. The stores' SQL does the same.
 *
 * @param first the pass's first position
 * @returns the first position that the chunk may hold: no other pass gives it
 */
export function chunkAt(position: number, first: number, size: number): number | null {
  return size > 1 ? first + Math.floor((position - first) / size) * size : null;
}

/** More deliveries than a chunk may hold. */
const NAMES_PER_POSITION = 1_024;

/**
 * Puts deliveries of one handler and epoch into chunks of that size. A chunk's name says which it begins
 * with and how many it holds, and is none that a relay pass gives: where jobs of former chunks are still
 * there, a job that carries others must not have their id, or the queue would not take it.
 */
export function inChunks<Ref extends DeliveryRef>(
  refs: readonly Ref[],
  size: number,
): (Ref & ChunkedRef)[] {
  return refs.map((ref, index) => {
    const first = index - (index % size);
    const count = Math.min(size, refs.length - first);
    const name = (refs[first] as Ref).position * NAMES_PER_POSITION + count;
    return { ...ref, chunk: count === 1 ? null : -name };
  });
}

/** The positions where the members of a chunk may be, if it was made for this handler as it is now. */
export function positionsOf(chunk: number, { batchSize = MAX_CHUNK }: Chunked): number[] {
  const first = chunk > 0 ? chunk : Math.floor(-chunk / NAMES_PER_POSITION);
  const length = Math.max(batchSize, MAX_CHUNK);
  return Array.from({ length }, (_, index) => first + index);
}
