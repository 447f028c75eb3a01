import { pageLimit } from '../common/page-limit.js';
import { pause } from '../common/time-limit.js';
import { InvalidOptionsError } from '../errors.js';
import type { Signals } from '../observability/signals.js';
import type { BatchRange, ChangedBatch } from '../store/dead-letter-store.js';
import type { OperationKind, OperationRecord, OperationStore } from '../store/operation-store.js';

/** What an operator's call may say about itself. */
export interface ActionOptions {
  /** Who asks for it: a name, an address, a ticket; at most 500 characters. Kept with the operation. */
  by?: string;
  /** Why; at most 500 characters. Kept with the operation. */
  reason?: string;
}

/** What was done by an operator. */
export interface Operation {
  readonly id: number;
  readonly kind: OperationKind;
  /** What it was asked to act on, as given. */
  readonly target: Readonly<Record<string, unknown>>;
  readonly reason: string | undefined;
  readonly by: string | undefined;
  /** Deliveries changed. */
  readonly affected: number;
  /**
   * Deliveries that it had to leave: dead letters whose event was deleted from the log (redrive), or
   * what was locked until the end (retire). Undefined in the book: known when it ends, and not kept.
   */
  readonly left: number | undefined;
  readonly startedAt: Date;
  /** Undefined: it is under way, or it failed, or its process ended before it did. */
  readonly endedAt: Date | undefined;
}

/** Deliveries per transaction: none of them holds locks for long. */
const BATCH = 500;
const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1_000;
const MAX_TEXT = 500;

/** Waits before what was locked is looked at again, in ms: some 6 s in all, then it is left. */
const AGAIN_MS = [50, 100, 200, 400, 800, 1_600, 3_200];

/** Batches of an operation that is resumed: the rest waits for the next time. */
const MAX_RESUMED = 10;

/** Changes the deliveries of a range in one transaction, and counts them in the operation. */
export type OperationBatch = (operationId: number, range: BatchRange) => Promise<ChangedBatch>;

/** Runs operators' actions and keeps the book of them. */
export class Operations {
  constructor(
    private readonly store: OperationStore,
    private readonly signals: Signals,
  ) {}

  /**
   * What was done: the newest first.
   *
   * @param options.limit 1 to 1,000; default 100
   */
  async latest({ limit }: { limit?: number } = {}): Promise<Operation[]> {
    const records = await this.store.latest(pageLimit(limit, DEFAULT_LIMIT, MAX_LIMIT));
    return records.map((record) => toOperation(record));
  }

  /**
   * Writes an action down, and repeats its batch until there is no more. If that fails midway, what
   * was done is done, and counted.
   *
   * @param countLeft what it could not change, asked at its end
   */
  async perform(
    kind: OperationKind,
    target: object,
    options: ActionOptions,
    batch: OperationBatch,
    countLeft: () => Promise<number> = async () => 0,
  ): Promise<Operation> {
    const id = await this.store.start({
      kind,
      target: { ...target },
      reason: checkedText('reason', options.reason),
      actor: checkedText('by', options.by),
    });
    try {
      await this.repeat(id, kind, batch);
    } catch (error) {
      this.signals.publish('operation.failed', { id, kind, error });
      throw error;
    }
    const left = await countLeft();
    const operation = toOperation(await this.store.end(id), left);
    this.signals.publish('operation.ended', operation);
    return operation;
  }

  /**
   * Goes on with what an action on this target has left, as a part of the last one in the book, and
   * does not wait for what is locked.
   *
   * @param batch also gets the reason of that one
   */
  async resume(
    kind: OperationKind,
    target: Readonly<Record<string, string>>,
    batch: (id: number, range: BatchRange, reason: string | null) => Promise<ChangedBatch>,
  ): Promise<void> {
    const book = await this.store.latest(MAX_LIMIT);
    const last = book.find((each) => each.kind === kind && isSame(each.target, target));
    const id = last?.id ?? (await this.store.start({ kind, target, reason: null, actor: null }));
    let affected = 0;
    let changed: ChangedBatch | undefined;
    for (let batches = 0; batches < MAX_RESUMED; batches++) {
      changed = await batch(id, { limit: BATCH, from: changed?.next }, last?.reason ?? null);
      affected += changed.affected;
      if (changed.next === undefined) break;
    }
    const done = changed?.next === undefined && changed?.passedOver !== true;
    // Where another process was faster there is nothing to tell.
    if (!done || (affected === 0 && (last?.endedAt ?? null) !== null)) return;
    this.signals.publish('operation.ended', toOperation(await this.store.end(id), 0));
  }

  private async repeat(id: number, kind: OperationKind, batch: OperationBatch): Promise<void> {
    let affected = 0;
    for (const waitMs of [...AGAIN_MS, undefined]) {
      let changed: ChangedBatch | undefined;
      do {
        changed = await batch(id, { limit: BATCH, from: changed?.next });
        affected += changed.affected;
        this.signals.publish('operation.progressed', { id, kind, affected });
      } while (changed.next !== undefined);
      if (changed.passedOver !== true || waitMs === undefined) return;
      await pause(waitMs);
    }
  }
}

function isSame(
  target: Readonly<Record<string, unknown>>,
  other: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(other).every(([key, value]) => target[key] === value);
}

function checkedText(option: 'by' | 'reason', text: string | undefined): string | null {
  if (text === undefined) return null;
  const fine = typeof text === 'string' && text.length <= MAX_TEXT && !text.includes('\0');
  if (fine && text.isWellFormed()) return text;
  throw new InvalidOptionsError(option, `must be a text of at most ${MAX_TEXT} characters.`);
}

function toOperation(record: OperationRecord, left?: number): Operation {
  const { id, kind, target, affected } = record;
  return {
    id,
    kind,
    target,
    affected,
    left,
    reason: record.reason ?? undefined,
    by: record.actor ?? undefined,
    startedAt: new Date(record.startedAt),
    endedAt: record.endedAt === null ? undefined : new Date(record.endedAt),
  };
}
