import type { Admin } from '../databases/admin.js';
import { pause } from '../pause.js';
import type { Fault } from './fault.js';

export const terminateBackends: Fault = {
  name: 'terminate-backends',
  weight: 5,
  plan(prng, { all }) {
    const count = prng.int(1, 4);
    return {
      what: `${count}`,
      breaks: all,
      run: ({ database }) => database.endSessions(count),
    };
  },
};

/** Dead rows stay visible to it, and pile up. */
export const idleTransaction: Fault = {
  name: 'idle-transaction',
  weight: 3,
  plan(prng) {
    const ms = prng.int(3_000, 10_000);
    return {
      what: `for ${ms} ms`,
      run: ({ database: { admin, longRead } }, over) => holdTransaction(admin, longRead, ms, over),
    };
  },
};

export const lockedRows: Fault = {
  name: 'locked-rows',
  weight: 3,
  plan(prng, { all }) {
    const ms = prng.int(500, 4_000);
    const table = prng.pick(['events_outbox', 'events_deliveries', 'events_relay']);
    return {
      what: `${table} for ${ms} ms`,
      breaks: all,
      run: ({ database }, over) =>
        holdTransaction(database.admin, database.lockRows(table), ms, over),
    };
  },
};

export const revokedGrant: Fault = {
  name: 'revoked-grant',
  weight: 3,
  plan(prng, { all }) {
    const [privilege, table] = prng.pick([
      ['INSERT', 'events_outbox'],
      ['DELETE', 'events_outbox'],
      ['INSERT', 'events_log'],
      ['UPDATE', 'events_deliveries'],
      ['SELECT', 'events_deliveries'],
    ] as const);
    const ms = prng.int(300, 3_000);
    return {
      what: `${privilege} on ${table} for ${ms} ms`,
      breaks: all,
      run: async ({ database }, over) => {
        await database.revoke(privilege, table);
        await pause(ms, over);
        await database.grant(privilege, table);
      },
    };
  },
};

/** What waits for its own locks longer than it is to hold them has waited with it. */
async function holdTransaction(
  admin: Admin,
  statement: string,
  ms: number,
  over: AbortSignal,
): Promise<void> {
  const connection = await admin.connect();
  try {
    await connection.query('START TRANSACTION');
    const locked = connection.query(statement);
    locked.catch(() => undefined);
    await pause(ms, over);
  } finally {
    connection.end();
  }
}
