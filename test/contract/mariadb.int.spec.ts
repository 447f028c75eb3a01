import { createMariadbDatabase } from '../support/database.js';
import { describeStoreContract } from './describe-store-contract.js';
import { mysqlHarness } from './mysql.harness.js';

describeStoreContract(mysqlHarness({ name: 'MariaDB', create: createMariadbDatabase }));

describeStoreContract(
  mysqlHarness({
    name: 'MariaDB, where the application has settings of its own',
    create: createMariadbDatabase,
    dataSource: {
      type: 'mariadb',
      charset: 'latin1_swedish_ci',
      timezone: '+05:00',
      dateStrings: false,
      supportBigNumbers: false,
      bigNumberStrings: false,
      extra: { decimalNumbers: true },
    },
    settings: [
      `SET SESSION sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,STRICT_ALL_TABLES'`,
      `SET SESSION default_storage_engine = 'MyISAM'`,
      'SET SESSION innodb_snapshot_isolation = ON',
      'SET SESSION sql_safe_updates = 1',
    ],
  }),
);
