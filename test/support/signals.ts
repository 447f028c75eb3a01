import type { SignalCatalogue, SignalName, Signals } from 'nestjs-durable-events';

type Match<Name extends SignalName> = (message: SignalCatalogue[Name]) => boolean;

const TIMEOUT_MS = 30_000;
/** For hundreds of deliveries, each a commit that waits for the disk; and for the test around them. */
export const BULK_MS = 60_000;

/** Resolves with the next signal of that name that matches. Call it before what causes it. */
export function nextSignal<Name extends SignalName>(
  signals: Signals,
  name: Name,
  match: Match<Name> = () => true,
): Promise<SignalCatalogue[Name]> {
  return countSignals(signals, name, 1, match).then(([first]) => first as SignalCatalogue[Name]);
}

/** Resolves with the next `count` matching signals, or rejects telling how many came. */
export function countSignals<Name extends SignalName>(
  signals: Signals,
  name: Name,
  count: number,
  match: Match<Name> = () => true,
  timeoutMs = TIMEOUT_MS,
): Promise<SignalCatalogue[Name][]> {
  return new Promise((resolve, reject) => {
    const seen: SignalCatalogue[Name][] = [];
    const timer = setTimeout(() => {
      off();
      reject(new Error(`${seen.length} of ${count} signals "${name}" within ${timeoutMs} ms`));
    }, timeoutMs);
    const off = signals.on(name, (message) => {
      if (!match(message)) return;
      seen.push(message);
      if (seen.length < count) return;
      clearTimeout(timer);
      off();
      resolve(seen);
    });
  });
}

/** Collects all signals of that name from now on. */
export function recordSignals<Name extends SignalName>(
  signals: Signals,
  name: Name,
): SignalCatalogue[Name][] {
  const seen: SignalCatalogue[Name][] = [];
  signals.on(name, (message) => seen.push(message));
  return seen;
}
