import { expect, it } from 'vitest';
import { executeScript } from '../../../lib/store/postgres/script.js';
import { openDataSource } from '../../support/data-source.js';
import { createTestDatabase } from '../../support/database.js';

it.each(['on', 'off'])(
  'a script’s parameters arrive as they were given, with standard_conforming_strings %s',
  async (standard) => {
    const odd = ["it's", 'a "b"', 'c\\d', '{e,f}', 'NULL', '', ' g\n', '$1'];
    const database = await createTestDatabase();
    const dataSource = await openDataSource(database.url);
    const runner = dataSource.createQueryRunner();
    try {
      await runner.query(`SET standard_conforming_strings = ${standard}`);
      const [[texts], [others]] = (await executeScript(runner, [
        { text: 'SELECT $1::text[] AS many, $2::text AS one', values: [odd, odd.join()] },
        {
          text: 'SELECT $2::integer[] AS many, $1 + 1 AS one, $3::text[] AS none',
          values: [7, [1, 2], []],
        },
      ])) as unknown as [[unknown], [unknown]];
      expect(texts).toEqual({ many: odd, one: odd.join() });
      expect(others).toEqual({ many: [1, 2], one: 8, none: [] });
    } finally {
      await runner.release();
      await dataSource.destroy();
      await database.drop();
    }
  },
);
