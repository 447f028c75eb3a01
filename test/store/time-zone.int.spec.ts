import { Injectable } from '@nestjs/common';
import { defineEvent, EventHandler, type DomainEvent } from 'nestjs-durable-events';
import type { DataSource, DataSourceOptions } from 'typeorm';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { onPostgres, sql } from '../support/database.js';
import { emitOnly } from '../support/emit-app.js';
import { nextSignal } from '../support/signals.js';
import { createTestBackends, startTestApp, type TestBackends } from '../support/test-app.js';

const OrderPlaced = defineEvent<{ at: Date }>('order.placed', {
  entity: () => ({ type: 'order', id: 'o1' }),
});

@Injectable()
class Handlers {
  readonly seen: DomainEvent<typeof OrderPlaced>[] = [];

  @EventHandler(OrderPlaced)
  onOrderPlaced(event: DomainEvent<typeof OrderPlaced>): void {
    this.seen.push(event);
  }
}

let backends: TestBackends;
beforeAll(async () => {
  backends = await createTestBackends();
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await backends.drop();
});

/** An instant that no zone skips or has twice. */
const OCCURRED = new Date('2024-06-15T12:34:56.789Z');

/** MariaDB knows zones by name only where their tables were loaded; its farthest one is this. */
const OFFSETS: Record<string, string> = {
  UTC: '+00:00',
  'America/Los_Angeles': '-08:00',
  'Pacific/Kiritimati': '+13:00',
  'Pacific/Pago_Pago': '-11:00',
};

const inZone = (zone: string) =>
  onPostgres ? `SET TimeZone = '${zone}'` : `SET time_zone = '${OFFSETS[zone]}'`;
/** What a user has who says nothing. */
const asUsual = (onPostgres ? {} : { timezone: 'local' }) as Partial<DataSourceOptions>;

async function zoneOf(dataSource: DataSource): Promise<string> {
  const show = onPostgres ? 'SHOW TimeZone' : 'SELECT @@time_zone';
  const [row] = await dataSource.query<[Record<string, string>]>(show);
  return Object.values(row)[0]!;
}

// Of the process (what Date and the driver think) and of the session (what the database thinks).
describe.each([
  ['UTC', 'UTC'],
  ['Pacific/Kiritimati', 'UTC'],
  ['UTC', 'America/Los_Angeles'],
  ['America/St_Johns', 'Pacific/Kiritimati'],
  ['Pacific/Kiritimati', 'Pacific/Pago_Pago'],
])('process in %s, session in %s', (processZone, sessionZone) => {
  beforeEach(() => {
    vi.stubEnv('TZ', processZone);
  });

  it('B6: times come out as they went in, and nothing is due early or late', async () => {
    const namespace = `${processZone}-${sessionZone}`.replaceAll(/[^A-Za-z-]/g, '_');
    const app = await startTestApp({
      url: backends.database.url,
      events: { namespace, queue: backends.redis, standalone: 'allow' },
      providers: [Handlers],
      dataSource: asUsual,
      session: [inZone(sessionZone)],
    });
    try {
      expect([sessionZone, OFFSETS[sessionZone]]).toContain(await zoneOf(app.dataSource));
      expect(new Intl.DateTimeFormat().resolvedOptions().timeZone).toBe(processZone);

      const before = Date.now();
      const later = await app.bus.emit(OrderPlaced, { at: OCCURRED }, { delay: '1h' });
      const completed = nextSignal(app.signals, 'delivery.completed');
      const { eventId } = await app.bus.emit(
        OrderPlaced,
        { at: OCCURRED },
        { occurredAt: OCCURRED, delay: 1 },
      );
      expect(await completed).toMatchObject({ eventId });
      const after = Date.now();

      const [seen] = app.context.get(Handlers).seen;
      expect(seen).toMatchObject({
        eventId,
        occurredAt: OCCURRED,
        data: { at: OCCURRED.toISOString() },
      });
      const logged = await app.log.get(eventId);
      expect(logged?.occurredAt).toEqual(OCCURRED);
      const [delivery] = logged?.deliveries ?? [];
      // The database runs on this machine: its clock is ours.
      for (const time of [delivery?.queuedAt, delivery?.lastAttemptAt, delivery?.completedAt]) {
        expect(time?.getTime()).toBeGreaterThanOrEqual(before - 1_000);
        expect(time?.getTime()).toBeLessThanOrEqual(after + 1_000);
      }

      const waiting = await app.log.get(later.eventId);
      expect(waiting?.position).toBeUndefined();
      expect(waiting?.occurredAt.getTime()).toBeGreaterThanOrEqual(before - 1_000);
      expect(waiting?.occurredAt.getTime()).toBeLessThanOrEqual(after + 1_000);
      const due = await app.dataSource.sql<unknown[]>`
        SELECT event_id FROM events_outbox WHERE event_id = ${later.eventId}
          AND scheduled_at BETWEEN ${() => sql.after(3_000_000)} AND ${() => sql.after(3_600_000)}`;
      expect(due).toHaveLength(1);
    } finally {
      await app.close();
    }
  });
});

it.each([
  ['Pacific/Kiritimati', 'Pacific/Pago_Pago'],
  ['Pacific/Pago_Pago', 'Pacific/Kiritimati'],
])('B6: an emitter in %s and a relay in %s agree on what is due', async (emits, relays) => {
  vi.unstubAllEnvs();
  const namespace = emits.replace('/', '_');
  const relay = await startTestApp({
    url: backends.database.url,
    events: { namespace, queue: backends.redis },
    providers: [Handlers],
    session: [inZone(relays)],
  });
  const emitter = await startTestApp({
    url: backends.database.url,
    events: emitOnly({ namespace, standalone: 'allow' }),
    session: [inZone(emits)],
  });
  try {
    const completed = nextSignal(relay.signals, 'delivery.completed');
    const later = await emitter.bus.emit(OrderPlaced, { at: OCCURRED }, { delay: '1h' });
    const soon = await emitter.bus.emit(OrderPlaced, { at: OCCURRED }, { delay: 1 });
    expect(await completed).toMatchObject({ eventId: soon.eventId });
    expect(await relay.log.get(later.eventId)).toMatchObject({ position: undefined });
  } finally {
    await emitter.close();
    await relay.close();
  }
});
