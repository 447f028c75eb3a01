import { describe, expect, it } from 'vitest';
import { parsePayload, type Payload } from '../../lib/event/payload.js';
import { handler, record, relayOnce, type ContractContext } from './contract-context.js';

function nested(depth: number): unknown {
  let value: unknown = 'deep';
  for (let level = 0; level < depth; level++) value = level % 2 === 0 ? [value] : { level: value };
  return value;
}

/** What JSON can carry and databases like to change. */
const DATA: Record<string, unknown> = {
  'emoji and 4-byte characters': { text: '😀👩‍👩‍👧‍👦𝒳𠜎', '🔑': '🇩🇪' },
  'accents, composed and not': ['é', 'e\u0301', 'ß', 'İ', 'ﬀ'],
  'quotes, backslashes and placeholders': `'"\`\\ \\' ? ?? $1 :name %s ; -- /* */ #`,
  'control characters': 'a\tb\nc\r\u0001\u001a\u007f\u2028',
  'empty ones': ['', {}, [], null, { '': '' }],
  'the data itself a text': 'text',
  'the data itself null': null,
  'nested as deep as allowed': nested(199),
  numbers: [0, 0.1, 1e21, 1e-7, 5e-324, 1.7976931348623157e308, 2 ** 53 - 1, -(2 ** 53 - 1), 1.0],
  'text that looks like something else': ['null', 'true', '1', '2024-01-01T00:00:00Z', '{}'],
  'spaces around': ['  a  ', '\n', { ' a ': 1 }],
  'large, of 4-byte characters': '😀'.repeat(60_000),
};

/** Different texts, all of them, though many a collation says otherwise. */
const LOOK_ALIKES = [
  'a',
  'A',
  'ä',
  'a ',
  ' a',
  'a\t',
  'á',
  'ａ',
  'a\u0301',
  'ß',
  'ss',
  '😀',
  '😁',
  '1',
  '01',
];

/** Texts of the most characters that the code lets through, which no index can compress. */
function longest(characters: number, from: number): string {
  let text = '';
  for (let index = 0; index < characters; index++) {
    text += String.fromCharCode(from + ((index * 7919) % 20_000));
  }
  return text;
}

export function describeFidelity(context: ContractContext): void {
  it.each(Object.entries(DATA))('data comes back as it was: %s', async (_what, data) => {
    const { store } = await context.bus();
    const text = JSON.stringify(data);
    const event = record({ data: text, metadata: JSON.stringify({ nested: data }) });
    await store.append([event]);
    expect(await store.eventById(event.eventId)).toMatchObject({ position: null });
    const { events } = await relayOnce(store);
    for (const back of [
      events[0],
      (await store.readEvents([1]))[0],
      await store.eventById(event.eventId),
    ]) {
      expect(parsePayload(back!)).toEqual({ data, metadata: { nested: data } });
    }
  });

  it('the order of keys is kept, where the database keeps texts', async () => {
    const { store } = await context.bus();
    const data = { zebra: 1, a: 2, middle: { y: 1, x: 2 } };
    await store.append([record({ data: JSON.stringify(data) })]);
    const { events } = await relayOnce(store);
    expect(parsePayload(events[0]!).data).toEqual(data);
    expect(events[0]?.data === JSON.stringify(data)).toBe(context.harness.keepsJsonText);
  });

  it('every column comes back as it was, with the longest names', async () => {
    const { store } = await context.bus();
    const name = 'n'.repeat(200);
    const id = 'h'.repeat(200);
    await store.registerHandlers([handler(id, { events: [name], queue: 'q'.repeat(50) })]);
    const event = record({
      name,
      version: 2_147_483_647,
      category: 'application',
      metadata: '{}',
      headers: '{"traceparent":"00-1-2-01"}',
      key: longest(512, 0x4e00),
      entityType: 'order',
      entityId: longest(512, 0x4e00),
      entityVersion: 2_147_483_647,
      actorType: longest(512, 0x4e01),
      actorId: longest(512, 0x4e02),
      causationId: longest(512, 0x4e03),
      correlationId: longest(512, 0x4e04),
      idempotencyKey: longest(512, 0x4e05),
      occurredAt: '2024-06-15T12:34:56.789Z',
    });
    await store.append([event]);
    const { events } = await relayOnce(store);
    const { headers: _h, delayMs: _d, idempotencyKey: _k, ...columns } = event;
    // Some databases write JSON in another way.
    const expected = { ...columns, position: 1, ...parsePayload(event) };
    const read = <Back extends Payload>(back: Back) => ({ ...back, ...parsePayload(back) });
    expect(events.map(read)).toEqual([expected]);
    expect((await store.readEvents([1])).map(read)).toEqual([expected]);
    const ofEntity = await store.eventsOfEntity('order', event.entityId!, 1);
    expect(ofEntity.map(read)).toMatchObject([expected]);
    const ref = { position: 1, handler: id, epoch: 0 };
    expect(await store.deliveryStates([ref])).toMatchObject([{ ...ref, status: 'queued' }]);
    expect(await store.complete([ref])).toEqual([true]);
    const [again] = await store.append([record({ idempotencyKey: event.idempotencyKey })]);
    expect(again).toEqual({ eventId: event.eventId, duplicate: true });
  });

  it('an entity’s type and id may both be as long as the code allows', async () => {
    const { store } = await context.bus();
    const [entityType, entityId] = [longest(200, 0x4e00), longest(512, 0x5e00)];
    await store.append([record({ entityType, entityId })]);
    await relayOnce(store);
    expect(await store.eventsOfEntity(entityType, entityId, 1)).toMatchObject([
      { entityType, entityId, position: 1 },
    ]);
  });

  describe('texts that differ are different, by case, accent or trailing space', () => {
    it('as ids of entities', async () => {
      const { store } = await context.bus();
      await store.append(LOOK_ALIKES.map((id) => record({ entityType: 't', entityId: id })));
      await store.append(LOOK_ALIKES.map((type) => record({ entityType: type, entityId: 'i' })));
      const find = async (type: string, id: string) => {
        const records = await store.eventsOfEntity(type, id, 10);
        return records.map(({ entityType, entityId }) => [entityType, entityId]);
      };
      for (const relayed of [false, true]) {
        if (relayed) await relayOnce(store);
        for (const text of LOOK_ALIKES) {
          expect(await find('t', text)).toEqual([['t', text]]);
          expect(await find(text, 'i')).toEqual([[text, 'i']]);
        }
      }
    });

    it('as idempotency keys', async () => {
      const { store } = await context.bus();
      const keys = LOOK_ALIKES.map((idempotencyKey) => record({ idempotencyKey }));
      const first = await store.append(keys);
      expect(first.every(({ duplicate }) => !duplicate)).toBe(true);
      const again = LOOK_ALIKES.map((idempotencyKey) => record({ idempotencyKey }));
      const second = await store.append(again);
      expect(second).toEqual(first.map(({ eventId }) => ({ eventId, duplicate: true })));
    });

    it('as ids of handlers and names of events', async () => {
      const { store } = await context.bus();
      await store.registerHandlers([
        handler('mails', { events: ['order'] }),
        handler('Mails', { events: ['Order'] }),
      ]);
      await store.append([record({ name: 'order' })]);
      await relayOnce(store);
      const states = await store.deliveryStates([
        { position: 1, handler: 'mails', epoch: 0 },
        { position: 1, handler: 'Mails', epoch: 0 },
      ]);
      expect(states.map((state) => state?.handler)).toEqual(['mails', undefined]);
    });

    it('as namespaces', async () => {
      const bus = await context.bus();
      const upper = context.peer({ ...bus, namespace: bus.namespace.toUpperCase() });
      await upper.prepare();
      await bus.store.append([record()]);
      expect(await upper.hasDue()).toBe(false);
    });
  });
}
