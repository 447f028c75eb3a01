import { deliveryName, groupBy } from './group-by.js';
import type { Invariant } from './invariant.js';
import type { Snapshot } from './snapshot.js';

/** What is written down beside the deliveries: the ledger, the history, the book of operations. */
export const booksAgree: Invariant = {
  id: 13,
  title: 'ledger, attempts and operations agree with the deliveries',
  check({ snapshot }) {
    const { attempts, operations, deliveries } = snapshot;
    const redriven = deliveries.reduce((sum, { epoch }) => sum + epoch, 0);
    return {
      figures:
        `${attempts.length} failed attempts, ${operations.length} operations, ` +
        `${redriven} redriven`,
      violations: [
        ...wrongLedger(snapshot),
        ...wrongHistory(snapshot),
        ...wrongOperations(snapshot, 'redrive', redriven),
        ...wrongOperations(snapshot, 'discard', withStatus(snapshot, 'discarded')),
      ],
    };
  },
};

function wrongLedger(snapshot: Snapshot): string[] {
  const counted = {
    delivered: snapshot.deliveries.length,
    completed: withStatus(snapshot, 'completed'),
    discarded: withStatus(snapshot, 'discarded'),
  };
  const [said, found] = [snapshot.ledger, counted].map((books) => JSON.stringify(books));
  return said === found ? [] : [`the ledger says ${said}, the deliveries ${found}`];
}

function wrongHistory({ deliveries, attempts }: Snapshot): string[] {
  const failed = groupBy(attempts, deliveryName);
  return deliveries.flatMap((each) => {
    const written = failed.get(deliveryName(each))?.length ?? 0;
    const expected = each.attempts - (each.status === 'completed' ? 1 : 0);
    if (written === expected) return [];
    return [
      `delivery ${deliveryName(each)} (${each.status}) made ${each.attempts} attempts, but ` +
        `${written} are written down as failed`,
    ];
  });
}

function wrongOperations({ operations }: Snapshot, kind: string, done: number): string[] {
  const own = operations.filter((operation) => operation.kind === kind);
  const said = own.reduce((sum, { affected }) => sum + affected, 0);
  if (said === done) return [];
  return [`${own.length} operations say that they ${kind} ${said} deliveries, but ${done} were`];
}

function withStatus({ deliveries }: Snapshot, wanted: string): number {
  return deliveries.filter(({ status }) => status === wanted).length;
}
