import type { ChaosDatabase } from '../databases/chaos-database.js';
import type { Dialect } from '../databases/dialect.js';

export interface OrderRow {
  readonly id: string;
  readonly shape: string;
  readonly events: number;
  readonly checksums: readonly string[];
}

export interface EventRow {
  readonly eventId: string;
  readonly name: string;
  readonly orderId: string;
  readonly n: number;
  /** Undefined: it is in the outbox still. */
  readonly position: number | undefined;
}

export interface DeliveryRow {
  readonly position: number;
  readonly handler: string;
  readonly status: string;
  readonly epoch: number;
  readonly attempts: number;
  readonly maxAttempts: number;
}

export interface AttemptRow {
  readonly position: number;
  readonly handler: string;
  readonly attempt: number;
  readonly error: string;
}

export interface EffectRow {
  readonly id: number;
  readonly handler: string;
  readonly eventId: string;
  readonly orderId: string;
  readonly n: number;
  readonly checksum: string;
  readonly intact: boolean;
  readonly idempotencyKey: string;
  readonly attempt: number;
  readonly child: string;
}

/** Sums by column: what the ledger says, or what an operation did. */
export interface Books {
  readonly delivered: number;
  readonly completed: number;
  readonly discarded: number;
}

/** All tables as of one moment; the checks are the same for every database. */
export interface Snapshot {
  readonly orders: readonly OrderRow[];
  readonly events: readonly EventRow[];
  readonly deliveries: readonly DeliveryRow[];
  readonly attempts: readonly AttemptRow[];
  readonly effects: readonly EffectRow[];
  readonly keys: readonly { readonly name: string; readonly eventId: string }[];
  readonly ledger: Books;
  readonly operations: readonly { readonly kind: string; readonly affected: number }[];
  readonly breaches: readonly string[];
}

/** Drivers return whole numbers as texts, or texts as they are. */
type Raw = Readonly<Record<string, unknown>>;
const SUMS = ['delivered', 'completed', 'discarded'] as const;

export function readSnapshot({ admin, dialect }: ChaosDatabase): Promise<Snapshot> {
  return admin.using(async (connection) => {
    for (const statement of dialect.beginSnapshot) await connection.query(statement);
    const read = (text: string) => connection.query<Raw>(text);
    const [ledger = {}] = await read(
      `SELECT ${SUMS.map((sum) => `COALESCE(SUM(${sum}), 0) AS ${sum}`).join(', ')} FROM events_ledger`,
    );
    return {
      orders: (await read('SELECT id, shape, events, checksums FROM orders')).map(toOrder),
      events: (await read(eventsSql(dialect))).map(toEvent),
      deliveries: (
        await read(
          'SELECT position, handler, status, epoch, attempts, max_attempts FROM events_deliveries',
        )
      ).map(toDelivery),
      attempts: (await read('SELECT position, handler, attempt, error FROM events_attempts')).map(
        toAttempt,
      ),
      effects: (await read('SELECT * FROM effects ORDER BY id')).map(toEffect),
      keys: (await read('SELECT i.key AS name, i.event_id FROM events_idempotency AS i')).map(
        (row) => ({ name: String(row['name']), eventId: String(row['event_id']) }),
      ),
      ledger: {
        delivered: Number(ledger['delivered']),
        completed: Number(ledger['completed']),
        discarded: Number(ledger['discarded']),
      },
      operations: (await read('SELECT kind, affected FROM events_operations')).map((row) => ({
        kind: String(row['kind']),
        affected: Number(row['affected']),
      })),
      breaches: (await read('SELECT what FROM chaos_breaches ORDER BY id')).map((row) =>
        String(row['what']),
      ),
    };
  });
}

/** All committed events, wherever they are. */
function eventsSql(dialect: Dialect): string {
  const columns = `event_id, name, ${dialect.jsonField('data', 'orderId')} AS order_id,
    ${dialect.jsonField('data', 'n')} AS n`;
  return `SELECT ${columns}, position FROM events_log
    UNION ALL SELECT ${columns}, NULL FROM events_outbox`;
}

const toOrder = (row: Raw): OrderRow => ({
  id: String(row['id']),
  shape: String(row['shape']),
  events: Number(row['events']),
  checksums: JSON.parse(String(row['checksums'])) as string[],
});

const toEvent = (row: Raw): EventRow => ({
  eventId: String(row['event_id']),
  name: String(row['name']),
  orderId: String(row['order_id']),
  n: Number(row['n']),
  position: row['position'] === null ? undefined : Number(row['position']),
});

const toDelivery = (row: Raw): DeliveryRow => ({
  position: Number(row['position']),
  handler: String(row['handler']),
  status: String(row['status']),
  epoch: Number(row['epoch']),
  attempts: Number(row['attempts']),
  maxAttempts: Number(row['max_attempts']),
});

const toAttempt = (row: Raw): AttemptRow => ({
  position: Number(row['position']),
  handler: String(row['handler']),
  attempt: Number(row['attempt']),
  error: String(row['error']),
});

const toEffect = (row: Raw): EffectRow => ({
  id: Number(row['id']),
  handler: String(row['handler']),
  eventId: String(row['event_id']),
  orderId: String(row['order_id']),
  n: Number(row['n']),
  checksum: String(row['checksum']),
  intact: Boolean(row['intact']),
  idempotencyKey: String(row['idempotency_key']),
  attempt: Number(row['attempt']),
  child: String(row['child']),
});
