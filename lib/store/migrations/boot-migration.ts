import type { DataSource } from 'typeorm';
import { EventsSchemaOutdatedError } from '../../errors.js';
import type { TableOptions } from '../tables.js';
import { assertComplete } from './complete-schema.js';
import { currentVersion, SCHEMA_VERSION, up } from './migrator.js';

/**
 * At boot: applies what is pending (`migrate`), or only checks.
 *
 * @throws EventsSchemaOutdatedError if it may not migrate and the tables are missing or old; or if
 *   they are of a version that was never released
 */
export async function migrateAtBoot(
  dataSource: DataSource,
  tables: TableOptions,
  migrate: boolean,
): Promise<void> {
  const runner = dataSource.createQueryRunner('master');
  try {
    const found = await currentVersion(runner, tables);
    if (found === SCHEMA_VERSION) return await assertComplete(runner, tables);
    if (found > SCHEMA_VERSION) return;
    if (migrate) return await up(runner, tables);
    throw new EventsSchemaOutdatedError(
      found,
      SCHEMA_VERSION,
      found === 0
        ? 'The tables of nestjs-durable-events do not exist'
        : 'The tables of nestjs-durable-events are of an older version',
      `Add CreateDurableEvents1763683200000 (import it from 'nestjs-durable-events'; with a prefix or ` +
        `schema of your own: ...eventsMigrations({ … })) to the "migrations" of your DataSource and run ` +
        `"typeorm migration:run", or set the module option "migrate: true".`,
    );
  } finally {
    await runner.release();
  }
}
