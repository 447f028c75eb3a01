import type { Prng } from '../prng.js';
import { pause } from '../pause.js';
import { FAILPOINTS, type Role } from '../app/protocol.js';
import { member, type Fault, type Names } from './fault.js';

export const kill: Fault = {
  name: 'kill',
  weight: 8,
  plan(prng, { all }) {
    const name = prng.pick(all);
    return {
      what: name,
      run: async (system) => member(system, name).child.kill(),
    };
  },
};

export const stop: Fault = {
  name: 'stop',
  weight: 8,
  plan(prng, { all }) {
    const name = prng.pick(all);
    const ms = standstillMs(prng);
    return {
      what: `${name} for ${ms} ms`,
      run: async (system, over) => {
        const { child } = member(system, name);
        child.pause();
        await pause(ms, over);
        child.resume();
      },
    };
  },
};

export const terminate: Fault = {
  name: 'terminate',
  weight: 3,
  plan(prng, { all }) {
    const name = prng.pick(all);
    return {
      what: name,
      run: async (system) => {
        const { child } = member(system, name);
        // One that stands still can't end; that would measure nothing.
        if (child.state === 'ready') await child.terminate();
      },
    };
  },
};

export const failpoint: Fault = {
  name: 'failpoint',
  weight: 14,
  plan(prng, names) {
    const point = prng.pick(Object.keys(FAILPOINTS) as (keyof typeof FAILPOINTS)[]);
    const action = prng.chance(0.5) ? 'kill' : 'pause';
    const name = prng.pick(names[groupOf(FAILPOINTS[point])]);
    const ms = standstillMs(prng);
    return {
      what: `${action} ${name} at ${point}${action === 'pause' ? ` for ${ms} ms` : ''}`,
      run: async (system, over) => {
        const { child } = member(system, name);
        child.send({ type: 'arm', failpoint: point, action });
        await pause(ms, over);
        child.resume();
        child.send({ type: 'disarm' });
      },
    };
  },
};

/** Often longer than a job's lock (2.5 s), seldom than a relay transaction may be idle (10 s). */
function standstillMs(prng: Prng): number {
  return prng.chance(0.15) ? prng.int(10_000, 14_000) : prng.int(300, 7_000);
}

function groupOf(role: Role): keyof Names {
  return `${role}s` as const;
}
