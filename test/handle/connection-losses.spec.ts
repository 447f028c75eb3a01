import { expect, it } from 'vitest';
import { ConnectionLosses } from '../../lib/handle/connection-losses.js';

const answers = () => Promise.resolve();
const isDown = () => Promise.reject(new Error('refused'));

it.each(['unexplained', 'ended'] as const)(
  'three losses in a row that are %s are excused where the database answers',
  async (loss) => {
    const losses = new ConnectionLosses(answers);
    const judge = () => losses.judge('1 mails 0', loss);
    expect([await judge(), await judge(), await judge()]).toEqual(Array(3).fill('excused'));
    expect([await judge(), await judge()]).toEqual(['counts', 'counts']);
    expect(await losses.judge('2 mails 0', loss)).toBe('excused');
    losses.forget('1 mails 0');
    expect(await judge()).toBe('excused');
  },
);

it.each(['unexplained', 'ended'] as const)(
  'C12: losses that are %s are an outage where it does not answer, however many',
  async (loss) => {
    const losses = new ConnectionLosses(isDown);
    for (let n = 0; n < 10; n++) expect(await losses.judge('1 mails 0', loss)).toBe('outage');
  },
);

it('a limit of the database’s counts at once', async () => {
  expect(await new ConnectionLosses(answers).judge('1 mails 0', 'limit')).toBe('counts');
});
