import type { Admin } from '../admin.js';
import { pause } from '../pause.js';
import type { Fault } from './fault.js';

export const terminateBackends: Fault = {
  name: 'terminate-backends',
  weight: 5,
  plan(prng) {
    const count = prng.int(1, 4);
    return {
      what: `${count}`,
      run: async ({ admin }) => {
        await admin.query(
          `SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity
            WHERE usename = 'app' ORDER BY random() LIMIT $1) AS some`,
          [count],
        );
      },
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
      run: ({ admin }, over) =>
        holdTransaction(
          admin,
          'SELECT pg_current_xact_id(), count(*) FROM events_outbox',
          ms,
          over,
        ),
    };
  },
};

export const lockedRows: Fault = {
  name: 'locked-rows',
  weight: 3,
  plan(prng) {
    const ms = prng.int(500, 4_000);
    const table = prng.pick(['events_outbox', 'events_deliveries', 'events_relay']);
    return {
      what: `${table} for ${ms} ms`,
      run: ({ admin }, over) =>
        holdTransaction(admin, `SELECT FROM ${table} LIMIT 20 FOR UPDATE`, ms, over),
    };
  },
};

export const revokedGrant: Fault = {
  name: 'revoked-grant',
  weight: 3,
  plan(prng) {
    const grant = prng.pick([
      'INSERT ON events_outbox',
      'DELETE ON events_outbox',
      'INSERT ON events_log',
      'UPDATE ON events_deliveries',
      'SELECT ON events_deliveries',
    ]);
    const ms = prng.int(300, 3_000);
    return {
      what: `${grant} for ${ms} ms`,
      run: async ({ admin }, over) => {
        await admin.query(`REVOKE ${grant} FROM app`);
        await pause(ms, over);
        await admin.query(`GRANT ${grant} TO app`);
      },
    };
  },
};

async function holdTransaction(
  admin: Admin,
  statement: string,
  ms: number,
  over: AbortSignal,
): Promise<void> {
  const client = await admin.connect();
  try {
    await client.query(`SET statement_timeout = '5s'; BEGIN`);
    await client.query(statement);
    await pause(ms, over);
  } finally {
    // Ends the transaction too.
    client.end().catch(() => undefined);
  }
}
