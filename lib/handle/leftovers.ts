import { jobId, toJob } from '../queue/delivery-job.js';
import type { DeliveryJob, JobDelivery, TakenJob } from '../queue/event-queue.js';
import { inChunks } from '../store/chunks.js';
import type { ChunkedRef, EventStore } from '../store/event-store.js';

/** What a run of its job has left of a delivery; undefined: nothing, it is done with. */
export type Leftover =
  /** To be run again by the same job, in so many ms. */
  | { readonly kind: 'postponed'; readonly inMs: number }
  /** Has failed, and was taken out of its chunk; to be tried again in so many ms. */
  | { readonly kind: 'failed'; readonly inMs: number }
  /** Belongs to another job by now. */
  | { readonly kind: 'moved'; readonly chunk: number | null }
  /** The job's time was over before its turn. */
  | { readonly kind: 'late' }
  | undefined;

/**
 * How long a job waits, in ms, before it makes sure of the jobs of what others have: whoever moved it is
 * about to push them. Pushed first by this one, which may know only some of a chunk's deliveries, they
 * would keep the whole one out.
 */
const MOVED_MS = 1_000;

interface Parts {
  readonly namespace: string;
  readonly store: EventStore;
  readonly push: (jobs: readonly DeliveryJob[]) => Promise<void>;
}

/**
 * Gives what a job has left to jobs of their own. A job that finds deliveries elsewhere (it stalled after
 * that, and is run again) makes sure of their jobs a moment later: those that exist are left as they are.
 *
 * @param outcomes one per delivery of the job
 * @param fitting how many late deliveries a job is to get
 * @returns in how many ms the job itself is to be run again; undefined: never
 */
export async function settleLeftovers(
  job: TakenJob,
  outcomes: readonly Leftover[],
  fitting: () => number,
  { namespace, store, push }: Parts,
): Promise<number | undefined> {
  const { handler, chunk = null, deliveries } = job.data;
  const jobs: DeliveryJob[] = [];
  const late: Late[] = [];
  const moved = new Map<string, DeliveryJob>();
  const again: number[] = [];
  for (const [index, outcome] of outcomes.entries()) {
    const delivery = deliveries[index] as JobDelivery;
    const ref = { position: delivery.position, epoch: delivery.epoch, handler };
    if (outcome?.kind === 'late') late.push({ ...ref, delivery });
    if (outcome?.kind === 'moved' && job.earlierRuns === 0) again.push(MOVED_MS);
    if (outcome?.kind === 'moved' && job.earlierRuns > 0) {
      // Each chunk whole: of several jobs with its id the queue would keep the first.
      const to = { ...ref, chunk: outcome.chunk };
      const id = jobId(namespace, to);
      const carried = moved.get(id)?.data.deliveries ?? [];
      moved.set(id, toJob(namespace, to, [...carried, delivery], job));
    }
    if (outcome?.kind === 'failed' && chunk !== null) {
      const own = toJob(namespace, { ...ref, chunk: null }, [delivery], job);
      jobs.push({ ...own, delayMs: outcome.inMs });
    }
    if (outcome?.kind === 'postponed' || (outcome?.kind === 'failed' && chunk === null)) {
      again.push(outcome.inMs);
    }
  }
  jobs.push(...moved.values());
  if (late.length > 0) {
    const chunked = inChunks(
      late.toSorted((a, b) => a.position - b.position),
      fitting(),
    );
    const moves = await store.setChunks(chunked);
    const gone = chunked.filter((_ref, which) => moves[which] === true);
    // Done meanwhile, or locked for a moment: this job sees to them still.
    if (gone.length < chunked.length) again.push(MOVED_MS);
    for (const members of chunksOf(gone)) {
      const carried = members.map(({ delivery }) => delivery);
      jobs.push(toJob(namespace, members[0] as ChunkedRef, carried, job));
    }
  }
  if (jobs.length > 0) await push(jobs);
  return again.length > 0 ? Math.min(...again) : undefined;
}

type Late = Omit<ChunkedRef, 'chunk'> & { readonly delivery: JobDelivery };

function chunksOf<Ref extends ChunkedRef>(refs: readonly Ref[]): Ref[][] {
  const chunks = new Map<string, Ref[]>();
  for (const ref of refs) {
    const name = ref.chunk === null ? `alone ${ref.position}` : String(ref.chunk);
    chunks.set(name, [...(chunks.get(name) ?? []), ref]);
  }
  return [...chunks.values()];
}
