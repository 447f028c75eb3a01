import { TRANSACTIONAL } from './app/orders.js';
import type { Checked } from './checks/check-all.js';
import { readSnapshot } from './checks/snapshot.js';
import type { System } from './system.js';

const SHOWN = 15;

export interface Figures {
  readonly events: number;
  readonly deliveries: number;
  /** Effects beyond one per event, of handlers that are not transactional. */
  readonly repeats: number;
  readonly failpoints: number;
  readonly boots: number;
  readonly commitsCut: number;
  readonly ms: number;
  /** All processes were killed in the end. */
  readonly killed: boolean;
}

export async function figuresOf(
  system: System,
  { ms, killed }: { ms: number; killed: boolean },
): Promise<Figures> {
  const { events, deliveries, effects } = await readSnapshot(system.database);
  const others = effects.filter(({ handler }) => !TRANSACTIONAL.includes(handler));
  const distinct = new Set(others.map(({ eventId, handler }) => `${eventId}/${handler}`));
  return {
    events: events.length,
    deliveries: deliveries.length,
    repeats: others.length - distinct.size,
    failpoints: system.hits.length,
    boots: system.members.reduce((sum, { child }) => sum + child.boots, 0),
    commitsCut: system.members.reduce((sum, { commits }) => sum + commits.cuts, 0),
    ms,
    killed,
  };
}

/** One line per invariant, and what violates it. */
export function reportChecks(checked: readonly Checked[], shown = SHOWN): string[] {
  return checked.flatMap(({ invariant, figures, violations }) => {
    const verdict = violations.length === 0 ? 'ok      ' : 'VIOLATED';
    const line = `${verdict} ${String(invariant.id).padStart(2)} ${invariant.title} (${figures})`;
    const more = violations.length - shown;
    return [
      line,
      ...violations.slice(0, shown).map((what) => `            ${what}`),
      ...(more > 0 ? [`            … and ${more} more`] : []),
    ];
  });
}

export function reportFigures(figures: Figures, faults: ReadonlyMap<string, number>): string {
  const { events, deliveries, repeats, failpoints, boots, commitsCut, ms, killed } = figures;
  const total = [...faults.values()].reduce((sum, count) => sum + count, 0);
  const kinds = [...faults].map(([kind, count]) => `${kind} ${count}`).toSorted();
  return (
    `${events} events, ${deliveries} deliveries, ${total} faults (${kinds.join(', ')}), ` +
    `${failpoints} failpoints hit, ${commitsCut} commits cut, ${boots} boots, ` +
    `${repeats} repeats, ${killed ? 'all killed' : 'none killed'} in the end, ${(ms / 1_000).toFixed(1)} s`
  );
}
