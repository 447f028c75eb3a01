import { describe, expect, it } from 'vitest';
import { OutboxFloor } from '../../../lib/store/postgres/outbox-floor.js';
import { Prng } from '../../chaos/prng.js';

const NOW = 5_000;

describe('the floor', () => {
  interface Pass {
    readonly id: number;
    readonly moved: readonly number[];
    /** The oldest transaction that runs; default: the pass's own. */
    readonly running?: number;
    readonly more?: boolean;
    readonly server?: string;
    readonly position?: number;
    readonly tookMs?: number;
  }
  const pass = (floor: OutboxFloor, at: number, given: Pass): number => {
    const { id, moved, running = id, more = false, tookMs = 0 } = given;
    const { server = 's', position = 7 } = given;
    const snapshot = { server, position, id: BigInt(id), xmin: BigInt(running) };
    const look = floor.look(at);
    floor.end(look, snapshot, { numbers: moved, full: more }, at + tookMs);
    return look.floor;
  };
  /** Where another pass begins, on the same server. */
  const floorAfter = (...passes: Pass[]) => {
    const floor = new OutboxFloor();
    for (const each of passes) pass(floor, NOW, each);
    return pass(floor, NOW, { id: 1_000, running: 0, moved: [] });
  };
  const first = { id: 10, moved: [1, 2, 4] };
  const second = { id: 20, moved: [5] };
  const third = { id: 30, moved: [6] };

  it('is where a pass ended, once all that ran at the next one has ended', () => {
    expect(floorAfter(first)).toBe(0);
    expect(floorAfter(first, second)).toBe(0);
    expect(floorAfter(first, second, third)).toBe(4);
  });

  it('waits for a transaction that may have a smaller number', () => {
    const late = [third, { id: 40, moved: [7] }].map((each) => ({ ...each, running: 19 }));
    expect(floorAfter(first, second, ...late)).toBe(0);
    expect(floorAfter(first, second, ...late, { id: 50, moved: [3, 8] })).toBe(4);
  });

  it('is not above what a full pass has moved: more late ones may wait', () => {
    const before = [{ ...first, moved: [100] }, second];
    expect(floorAfter(...before, { id: 30, moved: [1, 2, 3], more: true })).toBe(3);
  });

  it('begins anew where something came from below', () => {
    const below = { id: 40, moved: [1] };
    expect(floorAfter(first, second, third, below)).toBe(0);
  });

  it.each<[string, Pass]>([
    ['the server is another one', { id: 40, moved: [], server: 'promoted' }],
    ['ids are given again', { id: 29, moved: [] }],
    ['positions are given again', { id: 40, moved: [], position: 6 }],
  ])('begins anew where %s', (_how, there) => {
    const floor = new OutboxFloor();
    for (const each of [first, second, third]) pass(floor, NOW, each);
    pass(floor, NOW, there);
    expect(pass(floor, NOW, { ...there, id: 50 })).toBe(0);
  });

  it('tells which pass the next one must follow for it, and nothing where it hides nothing', () => {
    const floor = new OutboxFloor();
    expect(floor.look(NOW)).toEqual({ floor: 0, startedAt: NOW });
    for (const each of [first, second, third]) pass(floor, NOW, each);
    const terms = { server: 's', position: 7, id: 30n, xmin: 30n };
    expect(floor.look(NOW)).toEqual({ floor: 4, startedAt: NOW, terms });
  });

  it('begins anew after a pass that has failed', () => {
    const floor = new OutboxFloor();
    for (const each of [first, second, third]) pass(floor, NOW, each);
    floor.forget();
    expect(pass(floor, NOW, { id: 40, moved: [] })).toBe(0);
  });

  it('is not relied on for ever: a second, and longer where looking at all is slow', () => {
    const floor = new OutboxFloor();
    for (const each of [first, second, { ...third, tookMs: 500 }]) pass(floor, NOW, each);
    const quiet = { id: 40, moved: [], running: 0 };
    let id = 40;
    const begins = (at: number) => pass(floor, at, { ...quiet, id: ++id });
    // A look of 500 ms ended at NOW + 500: 5 s from then on.
    expect([NOW + 600, NOW + 5_499].map((at) => begins(at))).toEqual([4, 4]);
    expect([NOW + 5_500, NOW + 6_499, NOW + 6_500].map((at) => begins(at))).toEqual([0, 4, 0]);
  });
});

/** An outbox whose transactions take numbers, and commit whenever they like. */
class Outbox {
  readonly visible = new Set<number>();
  private readonly open: { xid?: number; readonly numbers: number[] }[] = [];
  private lastXid = 0;
  private lastEnded = 0;
  private lastNumber = 0;

  constructor(private readonly random: () => number) {}

  /** Something happens: a transaction begins, takes numbers (its id before the first one), or ends. */
  step(): void {
    const which = this.random();
    const one = this.open[Math.floor(this.random() * this.open.length)];
    if (one === undefined || (which < 0.2 && this.open.length < 8)) {
      this.open.push({ numbers: [] });
    } else if (which < 0.7) {
      one.xid ??= ++this.lastXid;
      for (let count = this.random() * 6; count > 0; count--) one.numbers.push(++this.lastNumber);
    } else {
      this.open.splice(this.open.indexOf(one), 1);
      this.ended(one.xid);
      if (which < 0.95) for (const number of one.numbers) this.visible.add(number);
    }
  }

  /** As PostgreSQL tells it: without any that runs, `xmin` is behind the last one that has ended. */
  snapshot(): { xmin: bigint; id: bigint } {
    const running = this.open.flatMap(({ xid }) => (xid === undefined ? [] : [xid]));
    const xmin = Math.min(this.lastEnded + 1, ...running);
    return { xmin: BigInt(xmin), id: BigInt(++this.lastXid) };
  }

  ended(xid = 0): void {
    this.lastEnded = Math.max(this.lastEnded, xid);
  }

  /** As a pass does, which takes the smallest numbers first. */
  take(above: number, limit: number): number[] {
    const all = [...this.visible].filter((number) => number > above).toSorted((a, b) => a - b);
    const taken = all.slice(0, limit);
    for (const number of taken) this.visible.delete(number);
    return taken;
  }
}

it.each(['a', 'b', 'c', 'd'])('hides nothing from a pass, whatever commits when (%s)', (seed) => {
  const prng = new Prng(seed);
  const random = () => prng.next();
  const outbox = new Outbox(random);
  const floor = new OutboxFloor();
  const upTo = (most: number) => {
    for (let steps = random() * most; steps > 0; steps--) outbox.step();
  };
  let raised = 0;
  for (let passes = 0; passes < 5_000; passes++) {
    if (random() < 0.7) upTo(12);
    const look = floor.look(NOW);
    if (random() < 0.5) upTo(4);
    const snapshot = { server: 's', position: 0, ...outbox.snapshot() };
    // Between the snapshot and the move.
    if (random() < 0.5) upTo(4);
    if (look.floor > raised) raised = look.floor;
    expect([...outbox.visible].filter((number) => number <= look.floor)).toEqual([]);
    const limit = random() < 0.3 ? 5 : 1_000;
    const numbers = outbox.take(look.floor, limit);
    outbox.ended(Number(snapshot.id));
    floor.end(look, snapshot, { numbers, full: numbers.length === limit }, NOW);
  }
  expect(raised).toBeGreaterThan(1_000);
});
