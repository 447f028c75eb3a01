import type { Prng } from '../prng.js';
import { pause } from '../pause.js';
import { member, type Fault, type Names, type Planned } from './fault.js';

export const cutLink: Fault = {
  name: 'cut-link',
  weight: 7,
  plan: (prng, names) => breakLink(prng, names, 'cut'),
};

export const blackHole: Fault = {
  name: 'black-hole',
  weight: 6,
  plan: (prng, names) => breakLink(prng, names, 'blackhole'),
};

function breakLink(prng: Prng, { all, emitters }: Names, how: 'cut' | 'blackhole'): Planned {
  const name = prng.pick(all);
  // An emitter has no way to the queue.
  const link = emitters.includes(name) || prng.chance(0.5) ? 'database' : 'queue';
  const ms = prng.int(50, 6_000);
  return {
    what: `${name} → ${link} for ${ms} ms`,
    breaks: [name],
    run: async (system, over) => {
      const proxy = member(system, name)[link];
      proxy[how]();
      await pause(ms, over);
      proxy.heal();
    },
  };
}

/** The answer of a COMMIT is lost: the client can't know how it ended. Or its request is. */
export const cutCommit: Fault = {
  name: 'cut-commit',
  weight: 10,
  plan(prng, { all }) {
    const name = prng.pick(all);
    const cut = prng.chance(0.7) ? 'answer' : 'request';
    return {
      what: `${name}, ${cut}`,
      breaks: [name],
      run: async (system, over) => {
        const { commits } = member(system, name);
        commits.arm(cut);
        await pause(3_000, over);
        commits.disarm();
      },
    };
  },
};
