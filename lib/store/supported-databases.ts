import type { DataSource } from 'typeorm';
import { UnsupportedDatabaseError } from '../errors.js';
import type { QuoteIdentifier } from './tables.js';

/** @throws UnsupportedDatabaseError for a database without a store */
export function assertSupported(type: string): void {
  if (type === 'postgres') return;
  throw new UnsupportedDatabaseError(type, 'only "postgres" is supported so far.');
}

export function quoterOf(dataSource: DataSource): QuoteIdentifier {
  return (identifier) => dataSource.driver.escape(identifier);
}
