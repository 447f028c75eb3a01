import { errorText } from '../common/error-text.js';
import { parseDuration, type Duration } from '../common/duration.js';
import { InvalidOptionsError } from '../errors.js';
import { checkObject } from '../resolve-options.js';
import type { EventsHealth, HealthReport } from './events-health.js';

/** From when on events are not well. */
export interface HealthLimits {
  /** An event waits longer than this for the relay. Default `'5m'`. */
  maxOutboxAge?: Duration;
  /** A delivery is queued for longer than this. Default: no limit, long waits before retries are normal. */
  maxQueuedAge?: Duration;
  /** There are more dead letters than this. Default: no limit. */
  maxDead?: number;
  /** The queue can't be reached. Default false: events stay safe, and the outbox's age tells. */
  queue?: boolean;
}

/** The result of a Terminus health indicator. */
export type EventsHealthResult<Key extends string> = Record<
  Key,
  { status: 'up' | 'down'; problems?: string[] } & Partial<HealthReport>
>;

const DEFAULT_OUTBOX_AGE = '5m';
const MAX_ERROR_BYTES = 500;

/**
 * A health indicator for `@nestjs/terminus`. It needs nothing of that package itself.
 *
 * @example
 * this.health.check([() => this.events.isHealthy('events', { maxOutboxAge: '1m' })]);
 */
export class EventsHealthIndicator {
  constructor(private readonly health: EventsHealth) {}

  /**
   * `up` with the figures, or `down` with the problems; never rejects for a service out of reach.
   *
   * @throws InvalidOptionsError for a limit that is unknown or can't be used
   */
  async isHealthy<Key extends string = 'events'>(
    key: Key = 'events' as Key,
    limits: HealthLimits = {},
  ): Promise<EventsHealthResult<Key>> {
    checkObject(limits, 'isHealthy', ['maxOutboxAge', 'maxQueuedAge', 'maxDead', 'queue']);
    const ages = {
      outbox: age('maxOutboxAge', limits.maxOutboxAge ?? DEFAULT_OUTBOX_AGE),
      queued:
        limits.maxQueuedAge === undefined ? Infinity : age('maxQueuedAge', limits.maxQueuedAge),
    };
    let report: HealthReport;
    try {
      report = await this.health.check();
    } catch (error) {
      const why = errorText(error instanceof Error ? error.message : error, MAX_ERROR_BYTES);
      return result(key, [`the database can't be asked: ${why}`]);
    }
    return result(key, findProblems(report, ages, limits), report);
  }
}

function findProblems(
  { ledger, outbox, oldestQueuedMs = 0, queue }: HealthReport,
  ages: { outbox: number; queued: number },
  { maxDead = Infinity, queue: needsQueue = false }: HealthLimits,
): string[] {
  const found: [boolean, string][] = [
    [
      (ledger.difference ?? 0) !== 0,
      `the ledger does not add up, by ${ledger.difference} deliveries`,
    ],
    [
      (outbox.oldestMs ?? 0) > ages.outbox,
      `an event has waited ${outbox.oldestMs} ms for the relay; does a process relay?`,
    ],
    [
      oldestQueuedMs > ages.queued,
      `a delivery has been queued for ${oldestQueuedMs} ms; does a process work its queue?`,
    ],
    [ledger.dead > maxDead, `there are ${ledger.dead} dead letters`],
    [needsQueue && queue.reachable === false, `${queue.target} can't be reached`],
  ];
  return found.filter(([wrong]) => wrong).map(([, problem]) => problem);
}

function result<Key extends string>(
  key: Key,
  problems: string[],
  report?: HealthReport,
): EventsHealthResult<Key> {
  const status = problems.length === 0 ? 'up' : 'down';
  const value = { status, ...(problems.length > 0 && { problems }), ...report };
  return { [key]: value } as EventsHealthResult<Key>;
}

function age(limit: string, value: Duration): number {
  const ms = parseDuration(value);
  if (ms !== undefined) return ms;
  throw new InvalidOptionsError(
    `isHealthy.${limit}`,
    `is ${JSON.stringify(value)}; use milliseconds or a duration such as '30s'.`,
  );
}
