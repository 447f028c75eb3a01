import { setMaxListeners } from 'node:events';
import { ShuttingDownError } from '../errors.js';
import type { DeliverySignal, Signals } from '../observability/signals.js';
import { BatchGatherer } from './batch-gatherer.js';
import type { DeliveryOutcomes } from './delivery-outcomes.js';
import type { HandlerDefinition } from './handler-definition.js';
import type { Attempt, HandlerRunner } from './handler-runner.js';
import { NotTheHandler } from './handler-transactions.js';
import type { Leftover } from './leftovers.js';
import type { Paces } from './paces.js';
import { harmless } from './thrown.js';

/** What {@link DeliveryRuns} work with. */
export interface DeliveryRunsParts {
  readonly runner: HandlerRunner;
  readonly outcomes: DeliveryOutcomes;
  readonly signals: Signals;
  readonly paces: Paces;
}

/** A delivery whose handler is to be run. */
export interface Runnable {
  readonly attempt: Attempt;
  readonly signal: DeliverySignal;
}

/** Runs the handlers of deliveries, alone or in batches, and sees to what comes of it. */
export class DeliveryRuns {
  private readonly shutdown = new AbortController();
  private readonly batches = new Map<HandlerDefinition, BatchGatherer<Runnable, Leftover>>();
  private isHurried = false;

  constructor(private readonly parts: DeliveryRunsParts) {
    // Every running handler listens; Node would warn of a leak from the 11th on.
    setMaxListeners(0, this.shutdown.signal);
  }

  /** @param onHandled called when the handler has ended, and only its marks are missing */
  async run({ attempt, signal }: Runnable, onHandled: () => void): Promise<Leftover> {
    const { runner, outcomes, paces } = this.parts;
    const started = performance.now();
    const elapsedMs = () => performance.now() - started;
    this.tellStart({ attempt, signal });
    try {
      const completed = await runner.run(attempt, this.shutdown.signal, () => {
        onHandled();
        paces.record(attempt.handler.id, elapsedMs());
      });
      return outcomes.handled(attempt, signal, completed, elapsedMs());
    } catch (thrown) {
      return this.threw({ attempt, signal }, thrown);
    }
  }

  /**
   * Together with others of its handler; one that has failed before alone: whatever it was, it takes no
   * others along.
   *
   * @param soon do not wait for others
   */
  async runInBatch(runnable: Runnable, soon = false): Promise<Leftover> {
    const { handler, number } = runnable.attempt;
    if (number > 1) return (await this.runBatch([runnable]))[0];
    return this.batchesOf(handler).add(runnable, soon);
  }

  /** Batches that wait for more run after this turn of the event loop. */
  flushSoon(): void {
    for (const batches of this.batches.values()) batches.flushSoon();
  }

  /** From now on no batch waits for more events than are there. */
  hurry(): void {
    this.isHurried = true;
    for (const batches of this.batches.values()) batches.hurry();
  }

  /** Aborts the signals of all running handlers, and of those that start later. */
  abort(): void {
    this.shutdown.abort(new ShuttingDownError());
  }

  private batchesOf(handler: HandlerDefinition): BatchGatherer<Runnable, Leftover> {
    const known = this.batches.get(handler);
    if (known !== undefined) return known;
    const { size = 1, waitMs = 0 } = handler.batch ?? {};
    const batches = new BatchGatherer<Runnable, Leftover>({ size, waitMs }, (batch) =>
      this.runBatch(batch),
    );
    if (this.isHurried) batches.hurry();
    this.batches.set(handler, batches);
    return batches;
  }

  private async runBatch(batch: readonly Runnable[]): Promise<Leftover[]> {
    const { runner, outcomes } = this.parts;
    const started = performance.now();
    for (const runnable of batch) this.tellStart(runnable);
    try {
      const results = await runner.runBatch(
        batch.map(({ attempt }) => attempt),
        this.shutdown.signal,
      );
      const ms = performance.now() - started;
      return await Promise.all(
        batch.map(async ({ attempt, signal }, index) => {
          const result = results[index] ?? 'rolled back';
          if (result === 'rolled back') return outcomes.again(signal, attempt.earlierRuns);
          if ('completed' in result) return outcomes.handled(attempt, signal, result.completed, ms);
          return outcomes.failed(attempt, signal, harmless(result.error));
        }),
      );
    } catch (thrown) {
      return Promise.all(batch.map((runnable) => this.threw(runnable, thrown, batch.length > 1)));
    }
  }

  private async threw(
    { attempt, signal }: Runnable,
    thrown: unknown,
    shared = false,
  ): Promise<Leftover> {
    const error = harmless(thrown);
    const { outcomes } = this.parts;
    return error instanceof NotTheHandler
      ? outcomes.unmarked(signal, error.cause, attempt.earlierRuns)
      : outcomes.failed(attempt, signal, error, shared);
  }

  private tellStart({ attempt: { number, state }, signal }: Runnable): void {
    const facts = { ...signal, attempt: number, maxAttempts: state.maxAttempts };
    this.parts.signals.publish('delivery.started', facts);
  }
}
