import type { Logger } from 'typeorm';

/** A TypeORM logger that keeps the statements, to be counted and waited for. */
export class QueryLog implements Logger {
  readonly statements: string[] = [];
  private waiting: (() => void)[] = [];

  count(text: string): number {
    return this.statements.filter((statement) => statement.includes(text)).length;
  }

  matching(pattern: RegExp): string[] {
    return this.statements.filter((statement) => pattern.test(statement));
  }

  /** Resolves once `times` statements with that text were sent. */
  async sent(text: string, times: number): Promise<void> {
    while (this.count(text) < times) {
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
  }

  logQuery(statement: string): void {
    this.statements.push(statement);
    const waiting = this.waiting;
    this.waiting = [];
    for (const resolve of waiting) resolve();
  }

  logQueryError(_error: string | Error): void {}
  logQuerySlow(): void {}
  logSchemaBuild(): void {}
  logMigration(): void {}
  log(): void {}
}
