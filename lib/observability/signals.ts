import { channel, type Channel } from 'node:diagnostics_channel';
import { errorText } from '../common/error-text.js';
import type { OperationKind } from '../store/operation-store.js';

/** What is known of a delivery when something happens to it. Never holds event data. */
export interface DeliverySignal {
  readonly eventId: string | undefined;
  readonly event: string | undefined;
  readonly handler: string;
  readonly position: number;
}

/**
 * The catalogue of signals: each is published once, synchronously, at the place where the thing
 * happens. Logs and tests subscribe to them.
 */
export interface SignalCatalogue {
  /** An event was written to the outbox (its transaction may still roll back). */
  'event.emitted': { eventId: string; name: string; version: number; duplicate: boolean };
  /** No handler takes events of this name: right for a mere log of facts. Once per name and process. */
  'event.unhandled': { name: string };
  /** A relay transaction has committed; its jobs are not pushed yet. */
  'relay.moved': { events: number; deliveries: number; lastPosition: number };
  /** The jobs of a relay transaction are in the queue. */
  'relay.pushed': { deliveries: number };
  /** A relay pass failed; it is repeated. */
  'relay.failed': { error: unknown; retryInMs: number };
  /** The first relay pass that works again after failures. */
  'relay.recovered': { failures: number };
  /** Deliveries whose job might be lost were pushed again. */
  'rescue.pushed': { deliveries: number };
  'rescue.failed': { error: unknown };
  /**
   * A delivery is queued, but its event was deleted from the log: nobody can handle it. Once per
   * delivery and process that relays.
   */
  'delivery.stranded': DeliverySignal;
  /** The queue can't be reached any more, or not yet. Once per outage. */
  'queue.unavailable': { target: string; error: unknown };
  'queue.available': { target: string };
  /** BullMQ reported an error that is not an outage. */
  'queue.error': { queue: string; error: unknown };
  /**
   * The queue does not hold what was pushed to it: it was wiped, or is another one. Its jobs are
   * pushed again.
   */
  'queue.wiped': { target: string };
  /** All queued deliveries were pushed again. */
  'queue.refilled': { target: string; deliveries: number };
  /**
   * Nobody has this handler any more, and deliveries wait for it. `retired`: they are to become dead
   * letters, and somebody holds them. Once per handler and process.
   */
  'handler.vanished': { handler: string; deliveries: number; lastSeenAt: string; retired: boolean };
  /** A batch of an operator's action is done; `affected` counts all so far. */
  'operation.progressed': { id: number; kind: OperationKind; affected: number };
  /** An operator's action stopped on the way; what it changed until then is changed. */
  'operation.failed': { id: number; kind: OperationKind; error: unknown };
  /** `left`: what it could not change. */
  'operation.ended': {
    id: number;
    kind: OperationKind;
    affected: number;
    left: number | undefined;
    by: string | undefined;
  };
  /** This Redis deletes keys when its memory is full, jobs among them. Once, at boot. */
  'queue.evicts': { target: string; policy: string };
  /** A worker that took no job although jobs waited was replaced. */
  'worker.recreated': { queue: string; silentMs: number };
  /** The database can't be used, so the workers of this process take no jobs. Once per outage. */
  'workers.paused': { error: unknown };
  'workers.resumed': { pausedMs: number };
  'delivery.started': DeliverySignal & { attempt: number; maxAttempts: number };
  'delivery.completed': DeliverySignal & { attempt: number; durationMs: number };
  /** An attempt failed; there will be another one. */
  'delivery.failed': DeliverySignal & {
    attempt: number;
    maxAttempts: number;
    retryInMs: number;
    error: unknown;
  };
  /** The delivery became a dead letter. */
  'delivery.dead': DeliverySignal & {
    attempt: number;
    maxAttempts: number;
    unrecoverable: boolean;
    error: unknown;
  };
  /** A repeated job found its delivery done, or in another epoch: nothing was run. */
  'delivery.skipped': DeliverySignal & { reason: string };
  /** Not the event's fault (database out of reach, shutdown): tried again, costs no attempt. */
  'delivery.postponed': DeliverySignal & { retryInMs: number; error: unknown };
  /**
   * The handler has run, but what became of it can't be written to the database, for no reason that
   * passes by itself. It runs again, ever more seldom.
   */
  'delivery.unmarked': DeliverySignal & { retryInMs: number; error: unknown };
  /** This process has no such handler: left for a process that has it, costs no attempt. */
  'delivery.parked': DeliverySignal & { queue: string; retryInMs: number };
  /** A backoff function threw or returned no duration; the default backoff was used. */
  'backoff.invalid': { handler: string; error: unknown };
}

export type SignalName = keyof SignalCatalogue;
type Listener<Name extends SignalName> = (message: SignalCatalogue[Name]) => void;

/**
 * Publishes signals to this app's listeners, and on `node:diagnostics_channel` as
 * `nestjs-durable-events:<name>` with the namespace added.
 */
export class Signals {
  private readonly listeners = new Map<SignalName, Set<Listener<never>>>();
  private readonly channels = new Map<SignalName, Channel>();

  constructor(private readonly namespace: string) {}

  /** Listens until the returned function is called. Listeners must be quick: they are waited for. */
  on<Name extends SignalName>(name: Name, listener: Listener<Name>): () => void {
    const listeners = this.listeners.get(name) ?? new Set();
    listeners.add(listener);
    this.listeners.set(name, listeners);
    return () => listeners.delete(listener);
  }

  publish<Name extends SignalName>(name: Name, message: SignalCatalogue[Name]): void {
    for (const listener of this.listeners.get(name) ?? []) {
      try {
        (listener as Listener<Name>)(message);
      } catch (error) {
        // What is told must not change because of who listens.
        process.emitWarning(`a listener of the signal "${name}" threw: ${errorText(error, 500)}`);
      }
    }
    const diagnostics = this.channelOf(name);
    if (diagnostics.hasSubscribers) {
      diagnostics.publish({ namespace: this.namespace, ...message });
    }
  }

  /** Kept: Node looks one up by its name among all, which emits of many events would feel. */
  private channelOf(name: SignalName): Channel {
    let found = this.channels.get(name);
    if (found === undefined) {
      found = channel(`nestjs-durable-events:${name}`);
      this.channels.set(name, found);
    }
    return found;
  }
}
