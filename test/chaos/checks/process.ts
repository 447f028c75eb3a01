import type { Invariant } from './invariant.js';

/** The grace time of the children, and what closing the rest of the application may take. */
const EXIT_LIMIT_MS = 8_000;

export const noJobsLeft: Invariant = {
  id: 7,
  title: 'no job remains, and none came too early',
  async check({ system }) {
    const jobs = await system.jobs();
    const violations = [...jobs.map((job) => `job ${job} remains`), ...system.earlyJobs];
    return { figures: `${jobs.length} jobs`, violations };
  },
};

export const drained: Invariant = {
  id: 9,
  title: 'the backlog drains after healing',
  check({ quiet: { ms, left } }) {
    const figures = `${(ms / 1_000).toFixed(1)} s`;
    const violations = left === undefined ? [] : [`not quiet after ${figures}: ${left}`];
    return Promise.resolve({ figures, violations });
  },
};

export const exitsInOrder: Invariant = {
  id: 10,
  title: 'processes end when told to, and only then',
  check({ system, exits }) {
    const wrong = exits
      .filter(({ code, ms }) => code !== 0 || ms > EXIT_LIMIT_MS)
      .map(
        ({ name, code, signal, ms }) => `${name}: code ${code}, signal ${signal} after ${ms} ms`,
      );
    const slowest = Math.max(0, ...exits.map(({ ms }) => ms));
    return Promise.resolve({
      figures: `${exits.length} exits, slowest ${slowest} ms`,
      violations: [...system.crashes, ...wrong],
    });
  },
};

export const boundedTransactions: Invariant = {
  id: 12,
  title: 'no relay transaction beyond its limit',
  check({ system }) {
    const { problems, longestRelayTransactionS, mostConnections } = system.observer;
    return Promise.resolve({
      figures: `longest ${longestRelayTransactionS.toFixed(1)} s, at most ${mostConnections} connections`,
      violations: [...new Set(problems.filter((problem) => problem.includes('transaction')))],
    });
  },
};
