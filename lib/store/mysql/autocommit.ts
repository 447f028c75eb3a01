import type { QueryRunner } from 'typeorm';

/**
 * Knows which sessions have `autocommit` off (by `init_connect`, for one). There every statement opens
 * a transaction that stays open in the pool: its writes are not saved, and later reads are of its time.
 */
export class Autocommit {
  private readonly off = new WeakMap<object, boolean>();

  /**
   * For a runner without a transaction: whether its session has it off. What somebody has left open in
   * it is committed then, as any START TRANSACTION does. Asked once per connection.
   */
  async isOff(runner: QueryRunner): Promise<boolean> {
    const connection = (await runner.connect()) as object;
    let off = this.off.get(connection);
    if (off === undefined) {
      const [row] = (await runner.query('SELECT @@SESSION.autocommit AS autocommit')) as {
        autocommit: unknown;
      }[];
      off = Number(row?.autocommit) === 0;
      this.off.set(connection, off);
    }
    if (off) await runner.query('COMMIT');
    return off;
  }
}
