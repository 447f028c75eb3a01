import { expect, it } from 'vitest';
import { scriptOf } from '../../../lib/store/postgres/script.js';

it('makes one text of several statements, with their parameters as literals', () => {
  const script = scriptOf([
    { text: 'START TRANSACTION', values: [] },
    { text: 'SELECT $2, $1, $2', values: ["it's $2", 'a\\b'] },
  ]);
  expect(script).toBe("START TRANSACTION;\nSELECT E'a\\\\b', 'it''s $2', E'a\\\\b'");
});
