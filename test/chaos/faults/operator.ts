import { member, type Fault } from './fault.js';

/** No fault, but what must not disturb anything at any time: a former run may be under way still. */
export const operate: Fault = {
  name: 'operate',
  weight: 5,
  plan(prng, { relays }) {
    const name = prng.pick(relays);
    const action = prng.chance(0.75) ? 'redrive' : 'discard';
    return {
      what: `${name}, ${action}`,
      run: async (system) => member(system, name).child.send({ type: 'operate', action }),
    };
  },
};
