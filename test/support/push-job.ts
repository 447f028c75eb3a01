import { jobId } from '../../lib/queue/delivery-job.js';
import type { DeliveryRef } from '../../lib/store/event-store.js';
import { openBull, type QueueKind } from './bull.js';
import type { TestBackends } from './test-app.js';

/** Pushes the job of a delivery, as a relay does, or one that fell behind. */
export async function pushJob(
  backends: TestBackends,
  kind: QueueKind,
  namespace: string,
  ref: DeliveryRef,
): Promise<void> {
  const { position, handler, epoch } = ref;
  const bull = await openBull(backends, kind, namespace);
  const data = { handler, deliveries: [{ position, epoch }] };
  await bull.add(handler, data, {
    jobId: jobId(namespace, { ...ref, chunk: null }),
    removeOnComplete: true,
  });
}
