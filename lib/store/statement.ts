/** What a SQL builder returns: text and parameters, ready for `QueryRunner.query`. */
export interface Statement {
  readonly text: string;
  readonly values: unknown[];
}
