import { EventLog } from 'nestjs-durable-events';
import {
  addTransactionalDataSource,
  deleteDataSourceByName,
  initializeTransactionalContext,
  runInTransaction,
} from 'typeorm-transactional';
import { expect, it, onTestFinished } from 'vitest';
import { onEvent } from '../support/inline-handler.js';
import { OrderPaid } from './events.js';
import { STORAGES, useStorages } from './storages.js';
import { startKit, type Kit } from './support.js';

// It patches TypeORM's prototypes for the whole process: this file has one of its own.
initializeTransactionalContext();
useStorages();

const [[, postgres]] = STORAGES as [(typeof STORAGES)[0]];

async function start(mode: 'manual' | 'inline', seen: string[]): Promise<Kit> {
  let kit: Kit | undefined;
  kit = await startKit({
    ...postgres(),
    testing: { mode },
    providers: [
      onEvent(OrderPaid, { id: 'note' }, async ({ data }, { attempt }) => {
        // As its repositories do.
        const { manager } = kit!.dataSource;
        if (attempt === 1) await manager.query('SELECT 1 FROM nowhere');
        await manager.query(`INSERT INTO paid (text) VALUES ('${data.orderId}')`);
        seen.push(manager.queryRunner === undefined ? 'outside' : 'in the transaction');
      }),
    ],
  });
  await kit.dataSource.query('DROP TABLE IF EXISTS paid');
  await kit.dataSource.query('CREATE TABLE paid (text varchar(100))');
  addTransactionalDataSource(kit.dataSource);
  onTestFinished(() => void deleteDataSourceByName('default'));
  return kit;
}

it('a test in a transaction of typeorm-transactional drains in it, handlers included', async () => {
  const seen: string[] = [];
  const kit = await start('manual', seen);
  const rollback = new Error('rolled back');
  const work = runInTransaction(async () => {
    await kit.bus.emit(OrderPaid, { orderId: 'o1' });
    const runs = await kit.events.drain({ retries: 'all' });
    expect(runs.map(({ outcome }) => outcome)).toEqual(['failed', 'completed']);
    expect(await kit.dataSource.manager.query('SELECT text FROM paid')).toEqual([{ text: 'o1' }]);
    throw rollback;
  });
  await expect(work).rejects.toBe(rollback);
  expect(seen).toEqual(['in the transaction']);
  expect(await kit.dataSource.query('SELECT text FROM paid')).toEqual([]);
  expect(kit.events.emitted()).toEqual([]);
  expect(await kit.module.get(EventLog).ofEntity('order', 'o1')).toEqual([]);
});

it('inline, handlers do not see the transaction that has ended', async () => {
  const seen: string[] = [];
  const kit = await start('inline', seen);
  const work = runInTransaction(() => kit.bus.emit(OrderPaid, { orderId: 'o1' }));
  await expect(work).rejects.toThrow('nowhere');
  await kit.events.drain({ retries: 'all' });
  expect(seen).toEqual(['outside']);
});
