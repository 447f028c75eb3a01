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
  logWorkers(signals, logger);
  logDeliveries(signals, logger);
  logOperators(signals, logger);
}

/** Most lines are these, and mostly nobody wants them: no text is made for nobody. */
function debug(logger: Logger, text: () => string): void {
  if (Logger.isLevelEnabled('debug')) logger.debug(text());
}

function logRelay(signals: Signals, logger: Logger): void {
  signals.on('event.emitted', ({ name, eventId, duplicate }) =>
    debug(logger, () => `${name} ${eventId} ${duplicate ? 'was emitted before' : 'emitted'}`),
  );
  signals.on('event.unhandled', ({ name }) =>
    debug(logger, () => `no handler takes ${name}: its events are in the log only`),
  );
  signals.on('relay.moved', ({ events, deliveries, lastPosition }) =>
    debug(
      logger,
      () => `relayed ${events} events, ${deliveries} deliveries, to position ${lastPosition}`,
    ),
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
  signals.on('queue.wiped', ({ target }) =>
    logger.warn(`${target} was wiped, or is another one: pushing everything that is queued again`),
  );
  signals.on('queue.refilled', ({ target, deliveries }) =>
    logger.log(`${target} is filled again: ${deliveries} deliveries were pushed`),
  );
  signals.on('queue.error', ({ queue, error }) => logger.warn(`queue "${queue}": ${short(error)}`));
  signals.on('queue.evicts', ({ target, policy }) =>
    logger.warn(
      `${target} deletes keys when its memory is full, jobs among them (maxmemory-policy ${policy}): ` +
        `their deliveries would wait for a rescue. Set maxmemory-policy to noeviction.`,
    ),
  );
}

function logWorkers(signals: Signals, logger: Logger): void {
  signals.on('worker.recreated', ({ queue, silentMs }) =>
    logger.warn(
      `the worker of queue "${queue}" took no job for ${silentMs} ms although jobs wait: replaced`,
    ),
  );
  signals.on('workers.paused', ({ error }) =>
    logger.warn(
      `the database can't be used: ${short(error)}. Workers take no jobs until it answers; ` +
        `no attempts are counted.`,
    ),
  );
  signals.on('workers.resumed', ({ pausedMs }) =>
    logger.log(`the database answers, workers go on after ${pausedMs} ms`),
  );
}

function logDeliveries(signals: Signals, logger: Logger): void {
  signals.on('delivery.completed', (signal) =>
    debug(
      logger,
      () => `${label(signal)} completed, attempt ${signal.attempt}, ${signal.durationMs} ms`,
    ),
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
    debug(logger, () => `${label(signal)} skipped: ${signal.reason}`),
  );
  signals.on(
    'delivery.stranded',
    oncePerHandler(({ position, handler }) =>
      logger.error(
        `the delivery of position ${position} to "${handler}" is queued, but its event was deleted ` +
          `from the log: nobody can handle it. Delete events after their deliveries, and only those ` +
          `that are completed or discarded.`,
      ),
    ),
  );
  signals.on('delivery.postponed', (signal) =>
    logger.warn(
      `${label(signal)} postponed by ${signal.retryInMs} ms, no attempt counted: ${short(signal.error)}`,
    ),
  );
  signals.on('delivery.unmarked', (signal) =>
    logger.error(
      `${label(signal)} has run, but its outcome can't be written to the database, so it will run ` +
        `again, in ${signal.retryInMs} ms: ${short(signal.error)}`,
    ),
  );
  signals.on(
    'delivery.parked',
    oncePerHandler((signal) =>
      logger.warn(
        `${label(signal)}: this process works queue "${signal.queue}" but has no such handler for this event; left ` +
          `for a process that has it. If you renamed the handler, give it aliases: ` +
          `['${signal.handler}'].`,
      ),
    ),
  );
  signals.on('backoff.invalid', ({ handler, error }) =>
    logger.warn(`backoff of "${handler}" can't be used, the default was taken: ${short(error)}`),
  );
}

function logOperators(signals: Signals, logger: Logger): void {
  signals.on('handler.vanished', ({ handler, deliveries, lastSeenAt, retired }) =>
    logger.warn(
      retired
        ? `${deliveries} deliveries still wait for handler "${handler}", which was retired: somebody ` +
            `holds them. They become dead letters once they are free.`
        : `${deliveries} deliveries wait for handler "${handler}", which no process has had since ` +
            `${lastSeenAt}. Renamed: give the new one aliases: ['${handler}']. In another process: start ` +
            `it. Removed for good: HandlerRegistry.retire('${handler}').`,
    ),
  );
  signals.on('operation.ended', ({ id, kind, affected, left, by = 'somebody' }) =>
    logger.log(
      `operation ${id}: ${kind} of ${affected} deliveries, by ${by}` +
        (left === undefined || left === 0 ? '' : `; ${left} were left`),
    ),
  );
  signals.on('operation.failed', ({ id, kind, error }) =>
    logger.warn(`operation ${id}: ${kind} stopped on the way: ${short(error)}`),
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
