import { QueryFailedError } from 'typeorm';
import { expect, it } from 'vitest';
import { isContention } from '../../../lib/store/postgres/postgres.errors.js';

it('C12: a deadlock is no outage, nor is a lock that was taken', () => {
  const failed = (code: string) =>
    new QueryFailedError('SELECT 1', [], Object.assign(new Error('no'), { code }));
  expect(['40P01', '40001', '55P03'].map((code) => isContention(failed(code)))).not.toContain(
    false,
  );
  expect(['42501', '57P01', '53300'].map((code) => isContention(failed(code)))).not.toContain(true);
  expect([undefined, null, 'x', new Error('cut')].map(isContention)).not.toContain(true);
});
