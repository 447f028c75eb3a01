/** What was changed in a transaction in memory, so that a rollback can change it back. */
export class UndoLog {
  /** Functions that undo a change, and names of savepoints between them. */
  private readonly entries: (string | (() => void))[] = [];

  changed(undo: () => void): void {
    this.entries.push(undo);
  }

  savepoint(name: string): void {
    this.entries.push(name);
  }

  release(name: string): void {
    const index = this.entries.lastIndexOf(name);
    if (index >= 0) this.entries.splice(index, 1);
  }

  /** Undoes what came after the savepoint, which stays; without a name, everything. */
  rollbackTo(name?: string): void {
    const keep = name === undefined ? 0 : this.entries.lastIndexOf(name) + 1;
    for (const entry of this.entries.splice(keep).toReversed()) {
      if (typeof entry === 'function') entry();
    }
  }

  clear(): void {
    this.entries.length = 0;
  }
}
