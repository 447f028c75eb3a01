/** How long passes rely on the floor before one looks at the whole outbox again, in ms; at least. */
const RELIED_ON_MS = 1_000;
/** The same, as a multiple of what the look took: it may walk through millions of dead rows. */
const RELIED_ON_TIMES = 10;
/** At most: the look is measured with all that the pass has moved. */
const RELIED_ON_AT_MOST_MS = 30_000;

/** What a pass learns before it moves anything. */
export interface OutboxSnapshot {
  /** Since when the server runs: another one may have other rows. */
  readonly server: string;
  /** The last position that was given. */
  readonly position: number;
  /** Id of the pass's own transaction. */
  readonly id: bigint;
  /** All transactions with smaller ids have ended. */
  readonly xmin: bigint;
}

/** How a pass is to look for events. */
export interface Look {
  /** The number in the outbox behind which to look. */
  readonly floor: number;
  /** The last pass, which this one must follow for the floor to be used; where there is one. */
  readonly terms?: OutboxSnapshot;
  /** In ms, of a monotonic clock. */
  readonly startedAt: number;
}

/**
 * From where on a relay pass has to look: up to there everything is moved. While a long transaction holds
 * back the vacuum, the outbox keeps its dead rows, and every pass would walk through all of them.
 *
 * Numbers are given before events become visible, so those of a transaction that takes longer come late.
 * But an emit's transaction has its id before its rows have their numbers (see `insertIntoOutbox`). So
 * whatever has a smaller number than what a pass has moved has a smaller id than the next pass, and the
 * floor is there once all those have ended. That holds as long as the identity has no cache, and its column
 * comes after the namespace's; and rows may be written by something else. So it is a hint all the same: now
 * and then a pass looks at the whole.
 */
export class OutboxFloor {
  private floor = 0;
  private relyUntil = -Infinity;
  private candidate: { readonly number: number; nextPass?: bigint } | undefined;
  private last: OutboxSnapshot | undefined;

  /**
   * How the next pass is to look. Its floor counts only if the pass finds that it {@link follows} the
   * last one; if not, {@link forget}.
   *
   * @param now in ms, of a monotonic clock
   */
  look(now: number): Look {
    const floor = now < this.relyUntil ? this.floor : 0;
    return { floor, startedAt: now, ...(floor > 0 && this.last && { terms: this.last }) };
  }

  /**
   * A pass has committed.
   *
   * @param moved ascending numbers of the events that it moved, without those that were scheduled, and
   *   whether there may be more
   */
  end(
    { floor, startedAt }: Look,
    pass: OutboxSnapshot,
    { numbers, full }: { readonly numbers: readonly number[]; readonly full: boolean },
    now: number,
  ): void {
    if (this.last !== undefined && !follows(pass, this.last)) this.forget();
    this.last = pass;
    if (floor === 0) {
      const ms = Math.max(RELIED_ON_MS, (now - startedAt) * RELIED_ON_TIMES);
      this.relyUntil = now + Math.min(ms, RELIED_ON_AT_MOST_MS);
    }
    const [first = Infinity] = numbers;
    if (first <= this.floor) {
      this.floor = 0;
      this.candidate = undefined;
    }
    const last = numbers.at(-1);
    const { candidate } = this;
    if (candidate?.nextPass === undefined) {
      if (candidate !== undefined) candidate.nextPass = pass.id;
      else if (last !== undefined) this.candidate = { number: last };
    } else if (pass.xmin >= candidate.nextPass) {
      // Late ones come first, and may be more than one pass moves.
      this.floor = full ? Math.min(candidate.number, last ?? 0) : candidate.number;
      this.candidate = last === undefined ? undefined : { number: last };
    }
  }

  /** Begins anew: after a failed pass it may be another server, with other rows. */
  forget(): void {
    this.floor = 0;
    this.candidate = undefined;
    this.last = undefined;
  }
}

/** Not where the database was restored, or is another one, or its tables were emptied. */
function follows(next: OutboxSnapshot, last: OutboxSnapshot): boolean {
  return next.server === last.server && next.position >= last.position && next.id > last.id;
}
