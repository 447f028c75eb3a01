import { QueryFailedError, type QueryRunner } from 'typeorm';
import { EventsSchemaOutdatedError } from '../../errors.js';
import { quoterOf } from '../supported-databases.js';
import { tableNames, type TableOptions, type Tables } from '../tables.js';
import { currentVersion, SCHEMA_VERSION } from './migrator.js';

/** Asks for what schema version 1 did not have from its first day. Reads no row. */
function probe({ relay, attempts, ledger, operations }: Tables): string {
  return `SELECT relay.queue_wipes, attempts.attempt, ledger.unhandled, operations.affected
    FROM ${relay} AS relay, ${attempts} AS attempts, ${ledger} AS ledger,
      ${operations} AS operations WHERE 1 = 0`;
}

/**
 * Versions before the first release changed their tables without a new number: a database of one of
 * them passes for complete, and fails at the first statement that needs what it lacks.
 *
 * @throws EventsSchemaOutdatedError where something is missing
 */
export async function assertComplete(runner: QueryRunner, options: TableOptions): Promise<void> {
  try {
    await runner.query(probe(tableNames(options, quoterOf(runner.dataSource))));
  } catch (error) {
    if (!(error instanceof QueryFailedError)) throw error;
    // Where this can't be asked either, the database is at fault, and not its tables.
    const found = await currentVersion(runner, options);
    throw new EventsSchemaOutdatedError(
      found,
      SCHEMA_VERSION,
      `The tables of nestjs-durable-events were made by a version that was never released, and lack ` +
        `something: ${error.message}`,
      `Make them anew, with all events gone, by eventsMigrator.down(queryRunner) and ` +
        `eventsMigrator.up(queryRunner); or choose another "tables.prefix".`,
    );
  }
}
