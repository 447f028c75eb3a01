import { Logger } from '@nestjs/common';
import { errorText } from '../common/error-text.js';
import type { DeliverySignal, Signals } from './signals.js';

/** Cap of an error in a log line; the whole of it is in the database. */
const LOGGED_ERROR_BYTES = 1_000;
const TELL_AGAIN_MS = 60_000;

/** Turns signals into log lines. Failures warn, dead letters are errors, successes are debug. */
export function logSignals(signals: Signals): void {
  const logger = new Logger('DurableEvents');
  logRelay(signals, logger);
  logQueue(signals, logger);
  logDeliveries(signals, logger);
}

function logRelay(signals: Signals, logger: Logger): void {
  signals.on('event.emitted', ({ name, eventId, duplicate }) =>
    logger.debug(`${name} ${eventId} ${duplicate ? 'was emitted before' : 'emitted'}`),
  );
  signals.on('relay.moved', ({ events, deliveries, lastPosition }) =>
    logger.debug(`relayed ${events} events, ${deliveries} deliveries, to position ${lastPosition}`),
  );
  signals.on('relay.failed', ({ error, retryInMs }) =>
    logger.warn(`relay pass failed, next in ${retryInMs} ms: ${short(error)}`),
  );
  signals.on('relay.recovered', ({ failures }) =>
    logger.log(`relay works again after ${failures} failed passes`),
  );
  signals.on('rescue.pushed', ({ deliveries }) =>
    logger.warn(`pushed ${deliveries} overdue deliveries again, in case their jobs were lost`),
  );
  signals.on('rescue.failed', ({ error }) => logger.warn(`rescue failed: ${short(error)}`));
}

function logQueue(signals: Signals, logger: Logger): void {
  signals.on('queue.unavailable', ({ target, error }) =>
    logger.warn(
      `${target} can't be reached: ${short(error)}. Events stay safe in the database; ` +
        `delivery goes on by itself when it is back.`,
    ),
  );
  signals.on('queue.available', ({ target }) => logger.log(`${target} is back`));
  signals.on('queue.error', ({ queue, error }) => logger.warn(`queue "${queue}": ${short(error)}`));
}

function logDeliveries(signals: Signals, logger: Logger): void {
  signals.on('delivery.completed', (signal) =>
    logger.debug(`${label(signal)} completed, attempt ${signal.attempt}, ${signal.durationMs} ms`),
  );
  signals.on('delivery.failed', (signal) =>
    logger.warn(
      `${label(signal)} failed, attempt ${signal.attempt} of ${signal.maxAttempts}, ` +
        `next try in ${signal.retryInMs} ms: ${short(signal.error)}`,
    ),
  );
  signals.on('delivery.dead', (signal) =>
    logger.error(
      `${label(signal)} is dead after attempt ${signal.attempt} of ${signal.maxAttempts}` +
        `${signal.unrecoverable ? ' (unrecoverable)' : ''}: ${short(signal.error)}`,
    ),
  );
  signals.on('delivery.skipped', (signal) =>
    logger.debug(`${label(signal)} skipped: ${signal.reason}`),
  );
  signals.on('delivery.postponed', (signal) =>
    logger.warn(
      `${label(signal)} postponed by ${signal.retryInMs} ms, no attempt counted: ${short(signal.error)}`,
    ),
  );
  signals.on(
    'delivery.parked',
    oncePerHandler((signal) =>
      logger.warn(
        `${label(signal)}: this process works queue "${signal.queue}" but has no such handler; left ` +
          `for a process that has it. If you renamed the handler, give it aliases: ` +
          `['${signal.handler}'].`,
      ),
    ),
  );
  signals.on('backoff.invalid', ({ handler, error }) =>
    logger.warn(`backoff of "${handler}" can't be used, the default was taken: ${short(error)}`),
  );
}

/** A backlog of one handler is told once a minute, not once per delivery. */
function oncePerHandler<Signal extends DeliverySignal>(
  log: (signal: Signal) => void,
): (signal: Signal) => void {
  const told = new Map<string, number>();
  return (signal) => {
    const now = performance.now();
    if (now - (told.get(signal.handler) ?? Number.NEGATIVE_INFINITY) < TELL_AGAIN_MS) return;
    told.set(signal.handler, now);
    log(signal);
  };
}

function label({ event, eventId, handler }: DeliverySignal): string {
  return `${event ?? 'event'} ${eventId ?? ''} → ${handler}`;
}

function short(error: unknown): string {
  if (error instanceof Error)
    return errorText(`${error.name}: ${error.message}`, LOGGED_ERROR_BYTES);
  return errorText(error, LOGGED_ERROR_BYTES);
}
