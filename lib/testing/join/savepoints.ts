import type { QueryRunner } from 'typeorm';

/** A savepoint, from SAVEPOINT to RELEASE. */
export interface Savepoint {
  readonly name: string;
  state: 'open' | 'done' | 'lost';
}

/** Names are never used again: a lost savepoint must not be taken for a new one. */
let created = 0;

/**
 * Savepoints of several pieces of work in one open transaction. Their statements take turns, because
 * what is rolled back takes along whatever came after its savepoint.
 */
export class Savepoints {
  private turn: Promise<unknown> = Promise.resolve();
  private readonly open: Savepoint[] = [];

  constructor(readonly runner: QueryRunner) {}

  /** Runs `work` when all before it has ended. Nothing may wait for its turn within its own. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.turn.then(work);
    this.turn = result.catch(() => undefined);
    return result;
  }

  /** Runs one statement as if it were committed on its own: if it fails, only it has failed. */
  alone<T>(statement: () => Promise<T>): Promise<T> {
    return this.inTurn(async () => {
      const name = newName();
      await this.runner.query(`SAVEPOINT ${name}`);
      try {
        const result = await statement();
        // Where the statement has committed implicitly (MySQL's changes of tables) it is gone.
        await this.runner.query(`RELEASE SAVEPOINT ${name}`).catch(() => undefined);
        return result;
      } catch (error) {
        await this.undo(name).catch(() => undefined);
        throw error;
      }
    });
  }

  begin(): Promise<Savepoint> {
    return this.inTurn(async () => {
      const savepoint: Savepoint = { name: newName(), state: 'open' };
      await this.runner.query(`SAVEPOINT ${savepoint.name}`);
      this.open.push(savepoint);
      return savepoint;
    });
  }

  /** @throws if it was rolled back together with one that was begun before it */
  commit(savepoint: Savepoint): Promise<void> {
    return this.inTurn(async () => {
      if (savepoint.state === 'lost') {
        throw new Error(
          'A transaction in a joined one was rolled back along with another one that overlapped it. ' +
            'In a joined transaction, await one transaction before the next one begins.',
        );
      }
      savepoint.state = 'done';
      // Releasing one releases those after it, so it waits for them.
      while (this.open.at(-1)?.state === 'done') {
        await this.runner.query(`RELEASE SAVEPOINT ${this.open.pop()?.name}`);
      }
    });
  }

  rollback(savepoint: Savepoint): Promise<void> {
    return this.inTurn(async () => {
      if (savepoint.state === 'lost') return;
      const gone = this.open.splice(this.open.indexOf(savepoint));
      for (const each of gone) each.state = 'lost';
      await this.undo(savepoint.name);
    });
  }

  private async undo(name: string): Promise<void> {
    await this.runner.query(`ROLLBACK TO SAVEPOINT ${name}`);
    await this.runner.query(`RELEASE SAVEPOINT ${name}`);
  }
}

function newName(): string {
  return `events_testing_${++created}`;
}
