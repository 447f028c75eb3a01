import { describe, expect, it } from 'vitest';
import { Results } from '../../bench/parent/results.js';
import { checkGoals } from '../../bench/report/goals.js';

function drained(throughputs: Record<string, number[]>): Results {
  const results = new Results();
  for (const [contender, values] of Object.entries(throughputs)) {
    for (const value of values)
      results.add('drain', contender, 'throughput', 'deliveries/s', value);
  }
  return results;
}

describe('goals', () => {
  it('are met from the limit on', () => {
    const goals = checkGoals(drained({ BullMQ: [1_000], 'durable-events': [1_200] }), ['drain']);
    const goal = goals.find(({ text }) => text === 'durable-events, to BullMQ');
    expect(goal).toMatchObject({ value: 1.2, met: true });
  });

  it('are missed below it', () => {
    const goals = checkGoals(drained({ BullMQ: [1_000], 'durable-events': [1_190] }), ['drain']);
    expect(goals.find(({ text }) => text === 'durable-events, to BullMQ')?.met).toBe(false);
  });

  it('are neither where a contender was not measured', () => {
    const goals = checkGoals(drained({ 'durable-events': [1_000] }), ['drain']);
    expect(goals.every(({ value, met }) => Number.isNaN(value) && !met)).toBe(true);
  });

  it('are told of the groups that ran only', () => {
    const groups = checkGoals(new Results(), ['emit', 'memory']).map(({ group }) => group);
    expect(new Set(groups)).toEqual(new Set(['emit', 'memory']));
  });
});
