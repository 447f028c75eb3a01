import { runMigrations } from 'bullmq';
import type { MigrationInterface, QueryRunner } from 'typeorm';
import { UnsupportedDatabaseError } from '../../errors.js';
import { BULLMQ_SCHEMA } from './queue-schema.js';

/**
 * Migration for the `migrations` of your DataSource, where the queue is BullMQ on that PostgreSQL:
 * creates BullMQ's tables in the schema `bullmq`.
 *
 * BullMQ migrates in a transaction of its own, so this uses a connection of its own. It can be run
 * twice. `down` leaves the tables: other queues of the application may be in them.
 */
export class CreateEventQueue1763683200001 implements MigrationInterface {
  readonly name = 'CreateEventQueue1763683200001';

  /** @throws UnsupportedDatabaseError on another database than PostgreSQL */
  async up({ dataSource }: QueryRunner): Promise<void> {
    const { type } = dataSource.options;
    if (type !== 'postgres') {
      throw new UnsupportedDatabaseError(
        type,
        `${this.name} makes the queue's tables, which need PostgreSQL. Take it out of the ` +
          `"migrations" of this DataSource: with Redis the queue needs none, and with "queue.postgres" ` +
          `it belongs to a DataSource on that database.`,
      );
    }
    const runner = dataSource.createQueryRunner('master');
    try {
      const client = (await runner.connect()) as Parameters<typeof runMigrations>[0];
      await runMigrations(client, BULLMQ_SCHEMA);
    } finally {
      await runner.release();
    }
  }

  async down(): Promise<void> {}
}
