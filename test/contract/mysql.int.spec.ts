import { describe } from 'vitest';
import { createMysqlDatabase } from '../../scripts/services/database.mjs';
import { describeStoreContract } from './describe-store-contract.js';
import { mysqlHarness } from './mysql.harness.js';

const { TEST_MYSQL_URL: url = '' } = process.env;

describe.skipIf(url === '')('where TEST_MYSQL_URL names a MySQL 8 server', () => {
  describeStoreContract(mysqlHarness({ name: 'MySQL', create: () => createMysqlDatabase(url) }));
});
