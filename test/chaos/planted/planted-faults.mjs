/**
 * Faults of the kind this library must not have, planted to prove that the harness sees them.
 *
 * @typedef {object} PlantedFault
 * @property {string} name
 * @property {string} filter the case of the matrix that exposes it
 * @property {number[]} violates invariants, of which at least one must be reported
 * @property {import('../compile.mjs').Patch[]} patches
 */

/** @type {import('../compile.mjs').Patch} */
const RESCUE_OFF = {
  file: 'lib/relay/rescue.ts',
  find: 'if (this.stopped) return;',
  replace: 'if (!this.stopped) return;',
};

/** @type {import('../compile.mjs').Patch} */
const ANY_EPOCH_COMPLETES = {
  file: 'lib/store/postgres/deliveries.sql.ts',
  find: "(d.position || ' ' || d.epoch || ' ' || d.handler) = ANY($3::text[])",
  replace: `(d.position || ' ' || d.handler) = ANY (
            SELECT regexp_replace(name, ' [0-9]+ ', ' ') FROM unnest($3::text[]) AS name)`,
};

/**
 * The status is checked still: only the epoch tells a run from before a redrive.
 *
 * @type {import('../compile.mjs').Patch[]}
 */
const NO_EPOCH_CHECK = [
  ANY_EPOCH_COMPLETES,
  {
    file: 'lib/store/postgres/deliveries.sql.ts',
    find: 'AND d.epoch = failed.epoch AND ${completed',
    replace: 'AND ${completed',
  },
  {
    file: 'lib/handle/delivery-executor.ts',
    find: 'if (state.epoch !== ref.epoch) return',
    replace: 'if (Number.isNaN(state.epoch)) return',
  },
];

/** @type {PlantedFault[]} */
export const PLANTED_FAULTS = [
  {
    name: 'push-before-commit',
    filter: 'redis, relay.after-claim, kill',
    violates: [7],
    patches: [
      {
        file: 'lib/relay/relay.ts',
        find: 'const batch = await this.store.relay(this.limits);',
        replace: `const batch = await this.store.relay({
          ...this.limits,
          pushNow: (claimed) => this.pusher.push(this.pusher.jobsOf(claimed, since)),
        });`,
      },
      {
        file: 'lib/store/postgres/relay-batches.ts',
        find: '[...BEGIN, ...prepared, COMMIT]',
        replace: '[...BEGIN, ...prepared]',
      },
      {
        file: 'lib/store/postgres/relay-batches.ts',
        find: 'const { last_position: position } = locked;',
        replace: `const events = rows.map(toLoggedEvent);
    if (events.length > 0) await limits.pushNow({ events, handlers });
    // Where nothing was claimed, the failpoint is not reached.
    await runner.query(events.length > 0 ? 'COMMIT' : 'END');
    const { last_position: position } = locked;`,
      },
    ],
  },
  {
    name: 'mark-before-push-without-rescue',
    filter: 'redis, relay.after-commit, kill',
    violates: [2, 9],
    patches: [
      {
        // As if a delivery were in the queue by being stored: nothing ever looks at it again.
        file: 'lib/store/postgres/relay.sql.ts',
        find: `now() + $4::double precision * interval '1 millisecond'`,
        replace: 'nullif($4::double precision, $4)::text::timestamptz',
      },
    ],
  },
  {
    name: 'no-status-and-epoch-check',
    filter: 'redis, deliver.in-transaction, pause',
    violates: [3, 4],
    patches: [
      ANY_EPOCH_COMPLETES,
      {
        file: 'lib/store/postgres/deliveries.sql.ts',
        find: 'AND ${QUEUED} FOR UPDATE NOWAIT',
        replace: 'FOR UPDATE NOWAIT',
      },
      {
        file: 'lib/store/postgres/deliveries.sql.ts',
        find: 'AND ${QUEUED}${nowait',
        replace: '${nowait',
      },
      {
        file: 'lib/handle/delivery-executor.ts',
        find: 'const reason = reasonToSkip(state, ref);',
        replace: 'const reason = undefined as string | undefined;',
      },
    ],
  },
  ...['late-failure', 'late-success', 'late-transaction'].map((point) => ({
    name: `no-epoch-check-${point}`,
    filter: `redis, deliver.${point}, redrive`,
    violates: [3, 5],
    patches: NO_EPOCH_CHECK,
  })),
  {
    name: 'rescue-off',
    filter: 'postgres, relay.after-commit, kill',
    violates: [2, 9],
    patches: [RESCUE_OFF],
  },
  {
    name: 'completion-outside-the-transaction',
    filter: 'redis, deliver.in-transaction, kill',
    violates: [3],
    patches: [
      {
        file: 'lib/handle/handler-runner.ts',
        find: 'claim: async (runner) => (await store.complete([attempt.ref], runner))',
        replace: 'claim: async () => (await store.complete([attempt.ref]))',
      },
    ],
  },
];

/**
 * @param {string} name
 * @returns {PlantedFault}
 */
export function plantedFault(name) {
  const found = PLANTED_FAULTS.find((fault) => fault.name === name);
  if (found) return found;
  const names = PLANTED_FAULTS.map((fault) => fault.name).join(', ');
  throw new Error(`No planted fault is named ${name}: ${names}`);
}
