import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { EventBus } from 'nestjs-durable-events';
import { setTimeout as delay } from 'node:timers/promises';
import { DataSource, type EntityManager } from 'typeorm';
import type { Dialect } from '../databases/dialect.js';
import { Prng } from '../prng.js';
import { DIALECT } from './dialect-of.js';
import { Failpoints } from './failpoints.js';
import { makeData, OrderPlaced, type OrderData } from './orders.js';

/** Transactions under way at once. */
const CONCURRENCY = 4;
const RETRIES = 12;
const SHAPES = { plain: 30, rollback: 10, savepoint: 15, keyed: 25, delayed: 8, many: 12 };

class PlannedRollback extends Error {}

/**
 * Places orders: each transaction writes a business row and its events, in varied shapes. What a
 * call returns is never recorded: whether an order counts is for the database to say.
 */
@Injectable()
export class Emitter {
  private prng = new Prng('');
  private placed = 0;
  private emitting: AbortController | undefined;
  private loops: Promise<void>[] = [];
  private closing = false;

  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly events: EventBus,
    private readonly failpoints: Failpoints,
    @Inject(DIALECT) private readonly dialect: Dialect,
  ) {}

  /** @param seed also a part of the orders' ids: different in every incarnation of a child */
  seed(seed: string): void {
    this.prng = new Prng(seed);
  }

  start(perSecond: number): void {
    if (this.emitting !== undefined || this.closing) return;
    const { signal } = (this.emitting = new AbortController());
    const everyMs = (1_000 * CONCURRENCY) / perSecond;
    this.loops = Array.from({ length: CONCURRENCY }, async () => {
      while (!signal.aborted) {
        const jitter = 0.5 + this.prng.next();
        await this.placeOne();
        await delay(everyMs * jitter);
      }
    });
  }

  /** Places that many orders, one after the other in each of a few loops. */
  async placeMany(count: number): Promise<number> {
    let left = count;
    const loop = async () => {
      while (left-- > 0) await this.placeOne();
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, loop));
    return count;
  }

  /** Places an order whose id the caller has chosen, for the fate of its deliveries. */
  async placeKnown(id: string): Promise<void> {
    await this.place(id, 'plain', this.prng.fork(id));
  }

  /** The process is to end: no more orders, and no more retries of those under way. */
  close(): void {
    this.closing = true;
    this.emitting?.abort();
  }

  async stop(): Promise<number> {
    this.emitting?.abort();
    await Promise.all(this.loops);
    this.emitting = undefined;
    return this.placed;
  }

  private async placeOne(): Promise<void> {
    const id = `${this.prng.seed}/${this.placed++}`;
    const shape = this.prng.weighted(SHAPES);
    // Asked for before anything is awaited, so that loops don't change each other's numbers much.
    const prng = this.prng.fork(id);
    try {
      await this.place(id, shape, prng);
    } catch {
      // The caller never learns more; the checks ask the database.
    }
  }

  private place(id: string, shape: keyof typeof SHAPES, prng: Prng): Promise<void> {
    switch (shape) {
      case 'plain':
        return this.commit((manager) => this.write(manager, id, shape, [makeData(prng, id, 0)]));
      case 'rollback':
        return this.commit(async (manager) => {
          await this.write(manager, id, shape, [makeData(prng, id, 0)]);
          throw new PlannedRollback();
        });
      case 'savepoint':
        return this.withSavepoint(id, prng);
      case 'keyed':
        return this.retrying(id, prng);
      case 'delayed':
        return this.commit((manager) =>
          this.write(manager, id, shape, [makeData(prng, id, 0)], { delay: prng.int(200, 4_000) }),
        );
      case 'many': {
        const list = Array.from({ length: prng.int(2, 5) }, (_, n) => makeData(prng, id, n));
        return this.commit((manager) => this.write(manager, id, shape, list));
      }
    }
  }

  private withSavepoint(id: string, prng: Prng): Promise<void> {
    const inner = `${id}-inner`;
    const undone = prng.chance(0.6);
    return this.commit(async (manager) => {
      await this.write(manager, id, 'savepoint', [makeData(prng, id, 0)]);
      try {
        await manager.transaction(async (nested) => {
          await this.write(nested, inner, 'inner', [makeData(prng, inner, 0)]);
          if (undone) throw new PlannedRollback();
        });
      } catch (error) {
        if (!(error instanceof PlannedRollback)) throw error;
      }
    });
  }

  /** Repeats until it is told that it succeeded, as a caller does that must not lose the order. */
  private async retrying(id: string, prng: Prng): Promise<void> {
    const data = makeData(prng, id, 0);
    for (let attempt = 0; attempt < RETRIES && !this.closing; attempt++) {
      try {
        await this.commit((manager) => this.write(manager, id, 'keyed', [data], { keyed: true }));
        return;
      } catch {
        await delay(100 * 2 ** Math.min(attempt, 5));
      }
    }
  }

  private async commit(work: (manager: EntityManager) => Promise<void>): Promise<void> {
    await this.dataSource.transaction(async (manager) => {
      await work(manager);
      this.failpoints.reach('emit.before-commit');
    });
  }

  private async write(
    manager: EntityManager,
    id: string,
    shape: string,
    list: readonly OrderData[],
    options: { delay?: number; keyed?: boolean } = {},
  ): Promise<void> {
    await manager.query(this.dialect.insertOrder, [
      id,
      shape,
      list.length,
      JSON.stringify(list.map(({ checksum }) => checksum)),
    ]);
    const { delay: delayMs, keyed } = options;
    await this.events.emitMany(
      list.map((data): [typeof OrderPlaced, OrderData, object] => [
        OrderPlaced,
        data,
        {
          ...(delayMs !== undefined && { delay: delayMs }),
          ...(keyed === true && { idempotencyKey: `order:${id}` }),
        },
      ]),
    );
  }
}
