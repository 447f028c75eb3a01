import type { MigrationInterface, QueryRunner } from 'typeorm';
import type { TableOptions } from '../tables.js';
import { down, up } from './migrator.js';

/**
 * Migration for the `migrations` of your DataSource: creates the library's tables (schema version
 * 1). For a prefix or schema of your own use {@link eventsMigrations}.
 */
export class CreateDurableEvents1763683200000 implements MigrationInterface {
  readonly name: string = 'CreateDurableEvents1763683200000';
  protected readonly tables: Partial<TableOptions> = {};

  up(queryRunner: QueryRunner): Promise<void> {
    return up(queryRunner, { ...this.tables, version: 1 });
  }

  down(queryRunner: QueryRunner): Promise<void> {
    return down(queryRunner, { ...this.tables, version: 0 });
  }
}

/**
 * The library's migration classes for a table prefix or schema other than the default.
 *
 * @example migrations: [...eventsMigrations({ schema: 'messaging' }), ...mine]
 */
export function eventsMigrations(
  tables: Partial<TableOptions> = {},
): (new () => MigrationInterface)[] {
  return [
    class CreateDurableEvents extends CreateDurableEvents1763683200000 {
      protected override readonly tables = tables;
    },
  ];
}
