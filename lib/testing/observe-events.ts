import { AssertionError } from 'node:assert';
import type { INestApplicationContext } from '@nestjs/common';
import { parseDuration, type Duration } from '../common/duration.js';
import { InvalidOptionsError } from '../errors.js';
import { EventLog, type EventHistory } from '../log/event-log.js';
import { Signals, type SignalName } from '../observability/signals.js';
import { checkObject } from '../resolve-options.js';
import type { EventMatch } from './events-testing.js';
import { matches, nearestMiss, printMatch, type Match } from './expect/failure-text.js';
import { print } from './expect/match.js';
import { nameOf, type DataOf, type EventRef } from './record/recorded-event.js';

export interface WaitForOptions<Event> {
  /** Until all of its handlers have handled it; else until it is committed. Default false. */
  handled?: boolean;
  /** Default `'5s'`. */
  timeout?: Duration;
  /** Only such an event. */
  match?: EventMatch<Event>;
}

/** An event that was waited for. */
export type Observed<Event> = Omit<EventHistory, 'data'> & { readonly data: DataOf<Event> };

/** After these something may have come true that is waited for. */
const TELLING: readonly SignalName[] = [
  'event.emitted',
  'relay.moved',
  'delivery.completed',
  'delivery.failed',
  'delivery.dead',
];
const DEFAULT_TIMEOUT = '5s';

/**
 * Watches the events of an application that runs the real `EventsModule`, or the testing module.
 * Events that were emitted before it was called are not seen.
 *
 * @example
 * const events = observeEvents(app);
 * await request(app.getHttpServer()).post('/orders').send(order);
 * await events.waitFor(OrderPlaced, { handled: true });
 */
export function observeEvents(app: Pick<INestApplicationContext, 'get'>): EventObserver {
  return new EventObserver(
    app.get(Signals, { strict: false }),
    app.get(EventLog, { strict: false }),
  );
}

/** Waits for events; made by {@link observeEvents}. */
export class EventObserver {
  /** Event id → name, in the order of their emits. */
  private readonly emitted = new Map<string, string>();
  private readonly waiting = new Set<() => void>();

  constructor(
    signals: Signals,
    private readonly log: EventLog,
  ) {
    signals.on('event.emitted', ({ eventId, name }) => this.emitted.set(eventId, name));
    for (const name of TELLING) signals.on(name, () => this.waiting.forEach((look) => look()));
  }

  /**
   * Resolves with the first such event, once it is committed, or handled by all of its handlers. It
   * asks the event log when a signal says that something has happened, and once more at the end.
   *
   * @throws AssertionError where it is not so in time, with what was seen; with `handled`, also as soon
   *   as a delivery of it is a dead letter
   */
  async waitFor<Event extends EventRef>(
    event: Event,
    options: WaitForOptions<Event> = {},
  ): Promise<Observed<Event>> {
    checkObject(options, 'waitFor', ['handled', 'timeout', 'match']);
    const { handled = false, timeout = DEFAULT_TIMEOUT, match } = options;
    const ms = parseDuration(timeout);
    if (ms === undefined) {
      throw new InvalidOptionsError('waitFor.timeout', `is ${JSON.stringify(timeout)}; use '5s'.`);
    }
    const name = nameOf(event);
    let again = (): void => undefined;
    let happened = false;
    let over = false;
    const look = () => {
      happened = true;
      again();
    };
    const timer = setTimeout(() => {
      over = true;
      again();
    }, ms);
    this.waiting.add(look);
    try {
      for (;;) {
        happened = false;
        const last = over;
        const seen = await this.seen(name);
        const found = this.find(seen, match, handled);
        if (found !== undefined) return found as Observed<Event>;
        if (last) throw new AssertionError({ message: notInTime(name, match, handled, ms, seen) });
        // Nothing happened while the log was read: wait until something does.
        if (!happened && !over) {
          await new Promise<void>((resolve) => {
            again = resolve;
          });
        }
      }
    } finally {
      clearTimeout(timer);
      this.waiting.delete(look);
    }
  }

  /** Those of a transaction that is open, or was rolled back, are not in the log. */
  private async seen(name: string): Promise<EventHistory[]> {
    const seen: EventHistory[] = [];
    for (const [eventId, emitted] of this.emitted) {
      const event = emitted === name ? await this.log.get(eventId) : undefined;
      if (event !== undefined) seen.push(event);
    }
    return seen;
  }

  private find(
    seen: readonly EventHistory[],
    match: Match,
    handled: boolean,
  ): EventHistory | undefined {
    const matching = seen.filter((event) => matches(event, match));
    if (!handled) return matching[0];
    const done = matching.find(isHandled);
    if (done !== undefined) return done;
    for (const event of matching) {
      const dead = event.deliveries.find(({ status }) => status === 'dead');
      if (dead === undefined) continue;
      throw new AssertionError({
        message: `${event.name} ${print(event.data)} is not handled by ${dead.handler}, whose delivery is a dead letter: ${dead.lastError}`,
      });
    }
    return undefined;
  }
}

function isHandled({ position, deliveries }: EventHistory): boolean {
  return position !== undefined && deliveries.every(({ status }) => status === 'completed');
}

function notInTime(
  name: string,
  match: Match,
  handled: boolean,
  ms: number,
  seen: readonly EventHistory[],
): string {
  const lines = [
    `Expected ${name}${printMatch(match)} to be ${handled ? 'handled' : 'emitted and committed'} within ${ms} ms, but it was not.`,
    seen.length === 0 ? `No ${name} was committed since observeEvents().` : 'Committed were:',
    ...seen.map(({ data, deliveries, position }, index) => {
      const states = deliveries.map(
        ({ handler, status, attempts, lastError }) =>
          `${handler} ${status} after ${attempts === 1 ? '1 attempt' : `${attempts} attempts`}${lastError === undefined ? '' : ` (${lastError.split('\n')[0]})`}`,
      );
      const what = position === undefined ? 'waits for the relay' : states.join(', ');
      return `  ${index + 1}. ${name} ${print(data)}: ${what || 'no handlers'}`;
    }),
    ...(seen.some((event) => matches(event, match)) ? [] : nearestMiss(seen, match)),
  ];
  return lines.join('\n');
}
