import { QueryFailedError, type QueryRunner } from 'typeorm';
import type { Statement } from '../statement.js';

type Row = Readonly<Record<string, string | null>>;

interface Client {
  query(text: string): Promise<readonly { readonly rows: readonly Row[] }[]>;
}

/**
 * Runs several statements, one way to the server and back. Each sees what was committed before it, as
 * if it were sent alone. Their parameters may only be texts, and become part of the SQL.
 *
 * @returns the rows of each
 */
export async function executeScript(
  runner: QueryRunner,
  statements: readonly Statement[],
): Promise<readonly (readonly Row[])[]> {
  const text = scriptOf(statements);
  // TypeORM's query() returns nothing where there are several results.
  const client = (await runner.connect()) as Client;
  const { logger } = runner.dataSource;
  logger.logQuery(text, undefined, runner);
  try {
    return (await client.query(text)).map(({ rows }) => rows);
  } catch (error) {
    logger.logQueryError(error as Error, text, undefined, runner);
    throw new QueryFailedError(text, [], error as Error);
  }
}

/** Several statements as one text. */
export function scriptOf(statements: readonly Statement[]): string {
  return statements.map(withLiterals).join(';\n');
}

function withLiterals({ text, values }: Statement): string {
  return text.replaceAll(/\$(\d+)/g, (_parameter, number) =>
    literal(values[Number(number) - 1] as string),
  );
}

/** Backslashes are escaped too: it depends on the server's settings what they mean in '…'. */
function literal(value: string): string {
  const quoted = value.replaceAll("'", "''");
  return value.includes('\\') ? `E'${quoted.replaceAll('\\', '\\\\')}'` : `'${quoted}'`;
}
