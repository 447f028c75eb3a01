import { setTimeout as delay } from 'node:timers/promises';
import { flakyPlan } from './app/orders.js';
import type { LatePoint } from './app/protocol.js';
import { firstHit } from './first-hit.js';
import { waiting } from './quiet.js';
import type { Member, System } from './system.js';

const EVERY_MS = 100;
/** A lock expires, another worker finds out, and takes all of the attempts. */
const STEP_LIMIT_MS = 20_000;

/**
 * A worker stands still in the last attempt of a delivery. Another one takes the job, and the
 * delivery dies; an operator redrives it. Now the first one goes on, in an epoch that is over:
 * before anybody has begun the next one, so nothing but the epoch tells the two apart.
 */
export async function runLate(system: System, point: LatePoint): Promise<void> {
  const orderId = doomedOrder(`late/${point}/${system.hits.length}`);
  const workers = system.of('worker');
  const hit = firstHit(system, workers);
  for (const { child } of workers) child.send({ type: 'arm', failpoint: point, action: 'pause' });
  await first(system.of('emitter')).child.ask({ type: 'emit-one', orderId }, STEP_LIMIT_MS);
  const late = await hit;
  const others = workers.filter((each) => each !== late);
  try {
    await until('all deliveries are done or dead', async () => {
      const { outbox, queued } = await waiting(system);
      return outbox + queued === 0;
    });
    // Else they might make the first attempt of the new epoch before the late one ends.
    for (const { child } of others) child.pause();
    first(system.of('relay')).child.send({ type: 'operate', action: 'redrive' });
    await until('it is redriven', async () => (await waiting(system)).queued > 0);
    late.child.resume();
    await until('the redriven ones are done', async () => (await waiting(system)).queued === 0);
  } finally {
    for (const { child } of [late, ...others]) child.resume();
  }
}

/** An id of an order whose flaky deliveries always fail. */
function doomedOrder(prefix: string): string {
  for (let number = 0; ; number++) {
    const orderId = `${prefix}/${number}`;
    const { fails, unrecoverable } = flakyPlan(orderId, 0);
    if (fails === Infinity && !unrecoverable) return orderId;
  }
}

function first(members: readonly Member[]): Member {
  const [member] = members;
  if (member === undefined) throw new Error('there is no such child');
  return member;
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + STEP_LIMIT_MS;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`not within ${STEP_LIMIT_MS} ms: ${what}`);
    await delay(EVERY_MS);
  }
}
