import type { EventQueue, QueueWorker } from '../queue/event-queue.js';

/**
 * A queue that holds nothing: a drain reads from the database what is to be delivered. So what is
 * rolled back there is gone here too.
 */
export class TestingQueue implements EventQueue {
  readonly description = 'the test, which runs what is due by itself';
  readonly watchIntervalMs = 60_000;
  /** The mark. */
  private left: string | undefined;

  async ready(): Promise<void> {}

  async push(): Promise<void> {}

  work(): QueueWorker {
    throw new Error('a test runs deliveries by itself');
  }

  async generation(): Promise<string | undefined> {
    return this.left;
  }

  async mark(generation: string): Promise<void> {
    this.left = generation;
  }

  async close(): Promise<void> {}
}
