import type { HandlerDefinition } from '../handle/handler-definition.js';
import { toRegistered } from '../handle/handler-definition.js';
import type { HandlerDirectory } from '../handle/handler-directory.js';
import type { HandlersExplorer } from '../handle/handlers.explorer.js';
import type { EventStore } from '../store/event-store.js';
import type { TransactionJoin } from './join/transaction-join.js';

interface TestingHandlersParts {
  readonly store: EventStore;
  readonly directory: HandlerDirectory;
  readonly explorer: HandlersExplorer;
  readonly join: TransactionJoin;
}

/** The handlers of the application under test. */
export class TestingHandlers {
  private explored = false;
  private registered: Promise<void> | undefined;

  constructor(private readonly parts: TestingHandlersParts) {}

  /** Finds them; all providers must exist. Idempotent. */
  explore(): void {
    if (this.explored) return;
    this.explored = true;
    const { explorer, directory } = this.parts;
    directory.addLocal(explorer.explore().map((handler) => this.protected(handler)));
  }

  /**
   * Subscribes them. Idempotent; called by whatever needs them, because a testing module that was only
   * compiled has not run its hooks.
   */
  ready(): Promise<void> {
    this.registered ??= this.register();
    return this.registered;
  }

  /** Subscribes them again, where that was deleted. */
  async register(): Promise<void> {
    const { store, directory } = this.parts;
    this.explore();
    await store.registerHandlers(directory.locals().map(toRegistered));
    await directory.refresh();
  }

  all(): HandlerDefinition[] {
    this.explore();
    return this.parts.directory.locals();
  }

  /** A transactional one has a savepoint of its own in a joined transaction. */
  private protected(handler: HandlerDefinition): HandlerDefinition {
    if (handler.transactional) return handler;
    const { join, store } = this.parts;
    return {
      ...handler,
      invoke: (event, context) =>
        join.protect(
          () => handler.invoke(event, context),
          (runner) => store.isTransactionFailed(runner),
        ),
    };
  }
}
