/** What a SQL builder returns: text and parameters, ready for `QueryRunner.query`. */
export interface Statement {
  readonly text: string;
  readonly values: unknown[];
  /** What it does, for the database's own records, where it may be prepared. */
  readonly name?: string;
}
