import { HANDLERS } from './app/orders.js';
import type { Checked } from './checks/check-all.js';
import { one } from './checks/invariant.js';
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
}

export async function figuresOf(system: System, ms: number): Promise<Figures> {
  const counted = await one<{ events: number; deliveries: number; repeats: number }>(
    system,
    `SELECT (SELECT count(*)::integer FROM events_log) AS events,
      (SELECT count(*)::integer FROM events_deliveries) AS deliveries,
      (SELECT (count(*) - count(DISTINCT (event_id, handler)))::integer FROM effects
        WHERE handler <> $1) AS repeats`,
    [HANDLERS.tx],
  );
  return {
    ...counted,
    failpoints: system.hits.length,
    boots: system.members.reduce((sum, { child }) => sum + child.boots, 0),
    commitsCut: system.members.reduce((sum, { commits }) => sum + commits.cuts, 0),
    ms,
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
  const { events, deliveries, repeats, failpoints, boots, commitsCut, ms } = figures;
  const total = [...faults.values()].reduce((sum, count) => sum + count, 0);
  const kinds = [...faults].map(([kind, count]) => `${kind} ${count}`).toSorted();
  return (
    `${events} events, ${deliveries} deliveries, ${total} faults (${kinds.join(', ')}), ` +
    `${failpoints} failpoints hit, ${commitsCut} commits cut, ${boots} boots, ` +
    `${repeats} repeats, ${(ms / 1_000).toFixed(1)} s`
  );
}
