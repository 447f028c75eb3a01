import type { DeliveryJob } from './event-queue.js';

/**
 * BullMQ never decides about a retry by itself: a job is run until its delivery is done, however
 * often; the delivery's attempts are counted in the database. The limit of an int32 stands for
 * "always".
 */
const ALWAYS = 2_147_483_647;

/** The job as BullMQ's `addBulk` takes it. */
export function toBullJob({ id, data, priority, delayMs }: DeliveryJob) {
  return {
    name: data.handler,
    data,
    opts: {
      jobId: id,
      attempts: ALWAYS,
      backoff: { type: 'delivery' },
      removeOnComplete: true,
      removeOnFail: true,
      stackTraceLimit: 0,
      ...(priority !== undefined && { priority }),
      ...(delayMs !== undefined && { delay: delayMs }),
    },
  };
}
