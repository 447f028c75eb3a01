import { QueryFailedError } from 'typeorm';
import { describe, expect, it } from 'vitest';
import {
  connectionLoss,
  damageOf,
  isInfrastructureError,
} from '../../../lib/store/mysql/mysql.errors.js';

/** What comes while no statement is under way: mysql2 gives its number as `code`. */
const unasked = (code: number) =>
  Object.assign(new Error('from the server'), { code, fatal: true });

const server = (errno: number) =>
  new QueryFailedError('SELECT 1', [], Object.assign(new Error('from the server'), { errno }));
const driver = (message: string, code?: string) =>
  new QueryFailedError('SELECT 1', [], Object.assign(new Error(message), { code, fatal: true }));

describe('isInfrastructureError', () => {
  it.each([1040, 1053, 1205, 1213, 1290, 1836, 1927, 2006, 2013, 3024])(
    'takes %d for the database’s doing',
    (errno) => {
      expect(isInfrastructureError(server(errno))).toBe(true);
    },
  );

  it.each([1054, 1062, 1064, 1146, 1153, 1264, 1305, 1406, 1452])(
    'takes %d for a mistake',
    (errno) => {
      expect(isInfrastructureError(server(errno))).toBe(false);
      expect(isInfrastructureError(server(errno), 'handler')).toBe(false);
    },
  );

  it.each([
    ['Connection lost: The server closed the connection.', 'PROTOCOL_CONNECTION_LOST'],
    ['read ECONNRESET', 'ECONNRESET'],
    ['Cannot call write after a stream was destroyed', 'ERR_STREAM_DESTROYED'],
    ["Can't add new command when connection is in closed state", undefined],
    ['Pool is closed.', undefined],
    ['connection terminated: no answer in 200 ms', undefined],
  ])('takes %s for an outage, also out of a handler', (message, code) => {
    expect(isInfrastructureError(driver(message, code))).toBe(true);
    expect(isInfrastructureError(driver(message, code), 'handler')).toBe(true);
  });

  it.each([1038, 1114, 1142, 1205, 1206, 1317, 1792, 1836, 1969, 3024])(
    'out of a handler, %d may be the handler’s own doing',
    (errno) => {
      expect(isInfrastructureError(server(errno), 'handler')).toBe(false);
    },
  );

  it.each([1021, 1037, 1041, 1226])('out of a handler, %d is the server’s state', (errno) => {
    expect(isInfrastructureError(server(errno), 'handler')).toBe(true);
  });

  it('out of a handler, a deadlock and a lost connection are not', () => {
    expect(isInfrastructureError(server(1213), 'handler')).toBe(true);
    expect(isInfrastructureError(server(2013), 'handler')).toBe(true);
  });

  it('out of a handler, errors of its own sockets and of others are not about the database', () => {
    const own = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    expect(isInfrastructureError(own, 'handler')).toBe(false);
    expect(isInfrastructureError(own)).toBe(true);
    expect(isInfrastructureError(new AggregateError([own]))).toBe(true);
    expect(isInfrastructureError('no error')).toBe(false);
    expect(isInfrastructureError(new Error('no database in it'))).toBe(false);
  });
});

describe('connectionLoss', () => {
  it.each([
    [1053, 'ended'],
    [1927, 'ended'],
    [2013, 'unexplained'],
    [4031, 'unexplained'],
    [1062, undefined],
  ])('%d is a session that was lost: %s, also between statements', (errno, loss) => {
    expect(connectionLoss(server(errno))).toBe(loss);
    expect(connectionLoss(unasked(errno))).toBe(loss);
  });

  it('is what the driver says of its connection', () => {
    expect(connectionLoss(driver('read ECONNRESET', 'ECONNRESET'))).toBe('unexplained');
    expect(connectionLoss(new Error('no database in it'))).toBeUndefined();
  });
});

describe('damageOf', () => {
  it.each([
    [1213, 'transaction'],
    [1206, 'transaction'],
    [1020, 'transaction'],
    [1205, 'statement'],
    [1062, undefined],
    [3572, undefined],
  ])('%d leaves: %s undone', (errno, damage) => {
    expect(damageOf(server(errno))).toBe(damage);
  });

  it.each([
    ['SELECT id FROM stock WHERE id = 1 FOR UPDATE NOWAIT', undefined],
    ['select id from stock lock in share mode wait 2;', undefined],
    ['SELECT id FROM stock WHERE id = 1 FOR UPDATE', 'statement'],
    ['ALTER TABLE stock NOWAIT ADD COLUMN x int', 'statement'],
    ["UPDATE stock SET name = ' NOWAIT'", 'statement'],
  ])('1205 of %j leaves: %s undone', (text, damage) => {
    expect(damageOf(server(1205), text)).toBe(damage);
  });

  it('is none of anything else', () => {
    expect(damageOf(new Error('x'))).toBeUndefined();
    expect(damageOf(undefined)).toBeUndefined();
  });
});
