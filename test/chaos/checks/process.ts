import type { Exit } from '../app-child.js';
import type { Invariant } from './invariant.js';

/** The grace time of the children, and what closing the rest of the application may take. */
const EXIT_LIMIT_MS = 8_000;
/**
 * Where a service was broken: BullMQ's pause between two tries to reach it, of up to 5 s, keeps the
 * closed application's process alive.
 */
const BROKEN_EXIT_LIMIT_MS = 13_000;

export const noJobsLeft: Invariant = {
  id: 7,
  title: 'no job remains, and none came too early',
  async check({ system }) {
    const jobs = await system.queue.jobs();
    const remaining = jobs.map(({ id, state }) => `job ${id} (${state}) remains`);
    const violations = [...remaining, ...system.earlyJobs];
    return { figures: `${jobs.length} jobs`, violations };
  },
};

export const drained: Invariant = {
  id: 9,
  title: 'the backlog drains after healing',
  check({ quiet: { ms, left } }) {
    const figures = `${(ms / 1_000).toFixed(1)} s`;
    const violations = left === undefined ? [] : [`not quiet after ${figures}: ${left}`];
    return { figures, violations };
  },
};

/** Of those that faults told to end under load too. */
export const exitsInOrder: Invariant = {
  id: 10,
  title: 'processes end when told to, and only then',
  check({ system }) {
    const all = system.members.flatMap(({ child }) => child.exits);
    // Nothing else is an excuse: with its services broken a process has only more time.
    const exits = all.filter(({ interrupted }) => interrupted === undefined);
    const disturbed = exits.filter(({ broken }) => broken.length > 0).length;
    const slowest = Math.max(0, ...exits.map(({ ms }) => ms));
    return {
      figures:
        `${exits.length} exits, ${disturbed} with broken services, slowest ${slowest} ms; ` +
        `${all.length - exits.length} interrupted`,
      violations: [...system.crashes, ...exits.filter(isWrong).map(describeExit)],
    };
  },
};

function isWrong({ code, ms, broken }: Exit): boolean {
  return code !== 0 || ms > (broken.length > 0 ? BROKEN_EXIT_LIMIT_MS : EXIT_LIMIT_MS);
}

function describeExit({ name, code, signal, ms, broken }: Exit): string {
  const meanwhile = broken.length > 0 ? `, broken: ${broken.join(', ')}` : '';
  return `${name}: code ${code}, signal ${signal} after ${ms} ms${meanwhile}`;
}

export const boundedTransactions: Invariant = {
  id: 12,
  title: 'no relay transaction beyond its limit',
  check({ system }) {
    const { problems, longestRelayTransactionS, mostConnections } = system.observer;
    return {
      figures: `longest ${longestRelayTransactionS.toFixed(1)} s, at most ${mostConnections} connections`,
      violations: [...new Set(problems.filter((problem) => problem.includes('transaction')))],
    };
  },
};

/** Compared after the pools have closed what was idle; see {@link waitForQuiet}. */
export const boundedConnections: Invariant = {
  id: 12,
  title: 'connections return to what they were after the boot',
  check({ quiet: { connections } }) {
    const most = Math.max(0, ...connections.map(({ held }) => held));
    return {
      figures: `at most ${most} held by a process`,
      violations: connections
        .filter(({ held, limit }) => held > limit)
        .map(({ name, held, limit }) => `${name} holds ${held} connections, more than ${limit}`),
    };
  },
};
