import type { Member, System } from './system.js';

const HIT_LIMIT_MS = 30_000;

/** Resolves with whichever child comes to its failpoint first; the others go on. */
export function firstHit(system: System, candidates: readonly Member[]): Promise<Member> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`no child came to the failpoint within ${HIT_LIMIT_MS} ms`));
    }, HIT_LIMIT_MS);
    let first = true;
    system.onHit = ({ member, action }) => {
      if (!first) {
        // A second one came there before it heard that it should not.
        if (action === 'pause') member.child.resume();
        return;
      }
      first = false;
      clearTimeout(timer);
      for (const { child } of candidates) child.send({ type: 'disarm' });
      resolve(member);
    };
  });
}
