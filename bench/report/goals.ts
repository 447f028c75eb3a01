import { median, medianRatio } from '../parent/stats.js';
import type { Results } from '../parent/results.js';
import type { GroupName } from '../settings.js';

/** What the library wants to reach, and what this run says of it. */
export interface Goal {
  readonly group: GroupName;
  readonly text: string;
  readonly limit: string;
  /** NaN: not measured in this run. */
  readonly value: number;
  readonly met: boolean;
}

type Figure = readonly [contender: string, metric: string];

/** All goals of the groups that were run. */
export function checkGoals(results: Results, groups: readonly GroupName[]): Goal[] {
  return [
    ...emit(results),
    ...drain(results),
    ...latency(results),
    ...flat(results),
    ...memory(results),
  ].filter(({ group }) => groups.includes(group));
}

function emit(results: Results): Goal[] {
  const time = (contender: string, connections: number): Figure => [
    contender,
    `time, ${connections} conn.`,
  ];
  return [
    ...[1, 10].map((connections) =>
      ratio(results, 'emit', {
        text: `a transaction with one emit, to one with a plain INSERT of the same row, ${connections} connections`,
        of: time('+ emit', connections),
        to: time('+ INSERT of the same row', connections),
        atMost: 1.25,
      }),
    ),
    ratio(results, 'emit', {
      text: 'emitMany of 100, to one emit',
      of: time('+ emitMany of 100', 1),
      to: time('+ emit', 1),
      atMost: 3,
    }),
  ];
}

function drain(results: Results): Goal[] {
  const against = (of: string, to: string, atLeast: number) =>
    ratio(results, 'drain', {
      text: `${of}, to ${to}`,
      of: [of, 'throughput'],
      to: [to, 'throughput'],
      atLeast,
    });
  const ours = 'durable-events';
  return [
    against(ours, 'BullMQ', 1.2),
    against(`${ours}, 3 handlers`, 'BullMQ, 3 jobs', 1.2),
    against(`${ours}, batch handler`, 'BullMQ', 2),
    against(ours, 'graphile-worker', 2),
    against(ours, 'pg-boss', 2),
    against(ours, 'nestjs-outbox', 2),
    against(`${ours}, batch handler`, 'graphile-worker, batched', 0.5),
  ];
}

function latency(results: Results): Goal[] {
  return ['one process', 'two processes'].flatMap((where) =>
    (['p50', 'p99'] as const).map((metric) =>
      ratio(results, 'latency', {
        text: `${metric} from commit to handler, to BullMQ's from add to handler, ${where}`,
        of: [`durable-events, ${where}`, metric],
        to: [`BullMQ, ${where}`, metric],
        atMost: metric === 'p50' ? 2 : 3,
      }),
    ),
  );
}

function flat(results: Results): Goal[] {
  const states = results
    .all()
    .filter(({ group }) => group === 'flat')
    .map(({ contender }) => contender);
  const longest = states.findLast((state) => state.endsWith('rows in the log')) ?? 'a long log';
  return [longest, 'horizon pinned'].map((state) =>
    ratio(results, 'flat', {
      text: `throughput with ${state}, to that of an empty log`,
      of: [state, 'throughput'],
      to: ['empty log', 'throughput'],
      atLeast: 0.9,
    }),
  );
}

function memory(results: Results): Goal[] {
  const atMost = (contender: string, metric: string, unit: string, limit: number): Goal => {
    const value = median(results.values('memory', contender, metric));
    return {
      group: 'memory',
      text: `${contender}: ${metric}`,
      limit: `≤ ${limit} ${unit}`,
      value,
      met: value <= limit,
    };
  };
  return [
    atMost('draining a backlog', 'peak RSS', 'MB', 250),
    atMost('idle', 'queries', 'per min', 70),
    atMost('idle', 'CPU', '%', 1),
  ];
}

interface RatioGoal {
  readonly text: string;
  readonly of: Figure;
  readonly to: Figure;
  readonly atMost?: number;
  readonly atLeast?: number;
}

function ratio(results: Results, group: GroupName, goal: RatioGoal): Goal {
  const { text, of, to, atMost, atLeast } = goal;
  const value = medianRatio(results.values(group, ...of), results.values(group, ...to));
  return {
    group,
    text,
    limit: atMost === undefined ? `≥ ${atLeast} ×` : `≤ ${atMost} ×`,
    value,
    met: atMost === undefined ? value >= (atLeast ?? 0) : value <= atMost,
  };
}
