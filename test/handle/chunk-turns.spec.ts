import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CHUNK_MS, ChunkTurns } from '../../lib/handle/chunk-turns.js';

// (Not setImmediate: it is what the turns themselves use, as it was when they were loaded.)
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const turn = async (turns: ChunkTurns) => (await turns.take()) as () => void;

/** What became of a delivery that asks for a turn. */
function ask(turns: ChunkTurns) {
  const asked = { got: 'nothing' as 'nothing' | 'a turn' | 'too late', end: () => {} };
  void (async () => {
    const end = await turns.take();
    asked.got = end === undefined ? 'too late' : 'a turn';
    asked.end = end ?? asked.end;
  })();
  return asked;
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('the turns of a chunk', () => {
  it('come one after the other, in the order asked', async () => {
    const turns = new ChunkTurns();
    const [first, second, third] = [ask(turns), ask(turns), ask(turns)];
    await settled();
    expect([first.got, second.got, third.got]).toEqual(['a turn', 'nothing', 'nothing']);
    first.end();
    await settled();
    expect([second.got, third.got]).toEqual(['a turn', 'nothing']);
    second.end();
    await settled();
    expect(third.got).toBe('a turn');
    turns.close();
  });

  it('end once each, however often they are ended', async () => {
    const turns = new ChunkTurns();
    const end = await turn(turns);
    const [second, third] = [ask(turns), ask(turns)];
    end();
    end();
    await settled();
    expect([second.got, third.got]).toEqual(['a turn', 'nothing']);
    turns.close();
  });

  it('are free again after the last one', async () => {
    const turns = new ChunkTurns();
    (await turn(turns))();
    const late = ask(turns);
    await settled();
    expect(late.got).toBe('a turn');
  });

  it('are over while one hangs: the others need not wait for it', async () => {
    const turns = new ChunkTurns();
    await turn(turns);
    const [second, third] = [ask(turns), ask(turns)];
    const over = turns.over.then(() => [second.got, third.got, after.got]);
    vi.advanceTimersByTime(CHUNK_MS - 1);
    await settled();
    expect(second.got).toBe('nothing');
    vi.advanceTimersByTime(1);
    const after = ask(turns);
    expect(await over).toEqual(['too late', 'too late', 'too late']);
    expect(turns.fitting()).toBe(1);
  });

  it('are over once one has taken longer, though nobody was waiting', async () => {
    const turns = new ChunkTurns();
    const end = await turn(turns);
    vi.advanceTimersByTime(CHUNK_MS);
    end();
    await turns.over;
    const late = ask(turns);
    await settled();
    expect(late.got).toBe('too late');
  });

  it('give the very first one a turn, however long it took to come', async () => {
    const turns = new ChunkTurns();
    vi.advanceTimersByTime(10 * CHUNK_MS);
    expect(await turn(turns)).toBeTypeOf('function');
  });

  it('tell how many fit into the time of a job', async () => {
    const turns = new ChunkTurns();
    for (let n = 0; n < 4; n++) {
      const end = await turn(turns);
      vi.advanceTimersByTime(25);
      end();
    }
    expect(turns.fitting()).toBe(4);
  });

  it('leave no timer behind', async () => {
    const turns = new ChunkTurns();
    await turn(turns);
    ask(turns);
    expect(vi.getTimerCount()).toBe(1);
    turns.close();
    expect(vi.getTimerCount()).toBe(0);
  });
});
