import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DataSource } from 'typeorm';
import { describeStoreContract } from './describe-store-contract.js';
import type { ContractDatabase } from './harness.js';
import { sqlDatabase } from './sql-database.js';

const NOW = `CAST(round(unixepoch('subsec') * 1000) AS INTEGER)`;

async function open(
  database: string,
  drop: () => Promise<void> = async () => undefined,
): Promise<ContractDatabase> {
  const dataSource = await new DataSource({ type: 'better-sqlite3', database }).initialize();
  return sqlDatabase(dataSource, {
    iso: (column) => `strftime('%Y-%m-%dT%H:%M:%fZ', (${column}) / 1000.0, 'unixepoch')`,
    ago: (ms) => `(${NOW} - (${ms}))`,
    at: (iso) => `${Date.parse(iso)}`,
    drop,
  });
}

const SQLITE = {
  keepsJsonText: true,
  keepsMicroseconds: false,
  limits: { connections: 'a DataSource has one connection to SQLite' },
};

describeStoreContract({
  ...SQLITE,
  name: 'SQLite, in memory',
  open: () => open(':memory:'),
});

describeStoreContract({
  ...SQLITE,
  name: 'SQLite, in a file',
  open: async () => {
    const folder = await mkdtemp(join(tmpdir(), 'events-sqlite-'));
    return open(join(folder, 'test.db'), () => rm(folder, { recursive: true }));
  },
});
