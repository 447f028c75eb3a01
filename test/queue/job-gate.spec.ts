import { expect, it } from 'vitest';
import { RetryJob } from '../../lib/queue/event-queue.js';
import { JobGate } from '../../lib/queue/job-gate.js';
import { deferred } from '../support/wait.js';

function job() {
  const end = deferred();
  const state = { started: false };
  const work = async () => {
    state.started = true;
    await end.promise;
  };
  return { end, state, work };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

it('D13: lets no more jobs run at once than its limit, in their order', async () => {
  const gate = new JobGate(1);
  const [first, second] = [job(), job()];
  const done = [gate.run(first.work), gate.run(second.work)];
  await turn();
  expect([first.state.started, second.state.started, gate.isFull]).toEqual([true, false, true]);
  first.end.resolve();
  await done[0];
  await turn();
  expect(second.state.started).toBe(true);
  second.end.resolve();
  await done[1];
  expect(gate.isFull).toBe(false);
});

it('C12: holds jobs that come while it is paused', async () => {
  const gate = new JobGate(2);
  gate.pause();
  const held = job();
  const done = gate.run(held.work);
  await turn();
  expect(held.state.started).toBe(false);
  gate.resume();
  await turn();
  expect(held.state.started).toBe(true);
  held.end.resolve();
  await done;
});

it('C12: turns jobs away once it is closed, for others to run them', async () => {
  const gate = new JobGate(2);
  gate.pause();
  const held = gate.run(job().work);
  gate.close();
  await expect(held).rejects.toBeInstanceOf(RetryJob);
  gate.resume();
  await expect(gate.run(job().work)).rejects.toBeInstanceOf(RetryJob);
});

it('a job that fails makes room for the next', async () => {
  const gate = new JobGate(1);
  await expect(gate.run(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(await gate.run(() => Promise.resolve(7))).toBe(7);
});
