import { QueryFailedError, type QueryRunner } from 'typeorm';
import type { Statement } from '../statement.js';

type Row = Readonly<Record<string, string | null>>;

interface Client {
  query(text: string): Promise<readonly { readonly rows: readonly Row[] }[]>;
}

/**
 * Runs several statements, one way to the server and back. Each sees what was committed before it, as
 * if it were sent alone. Their parameters become part of the SQL: texts, numbers, and arrays of them.
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
  const { logger, options } = runner.dataSource;
  logger.logQuery(text, undefined, runner);
  const started = performance.now();
  try {
    const results = await client.query(text);
    const ms = Math.round(performance.now() - started);
    const { maxQueryExecutionTime: slowMs } = options;
    if (slowMs && ms > slowMs) logger.logQuerySlow(ms, text, undefined, runner);
    return results.map(({ rows }) => rows);
  } catch (error) {
    logger.logQueryError(error as Error, text, undefined, runner);
    throw new QueryFailedError(text, [], error as Error);
  }
}

/** Several statements as one text. */
export function scriptOf(statements: readonly Statement[]): string {
  return statements.map(withLiterals).join(';\n');
}

/** Texts and quoted names, which may hold anything; and parameters. */
const QUOTED_OR_PARAMETER = /"(?:[^"]|"")*"|'(?:[^']|'')*'|\$(\d+)/g;

/** A statement without parameters that does the same. */
export function withLiterals({ text, values }: Statement): string {
  return text.replaceAll(QUOTED_OR_PARAMETER, (found, number?: string) =>
    number === undefined ? found : literal(values[Number(number) - 1]),
  );
}

/** Backslashes are escaped too: it depends on the server's settings what they mean in '…'. */
function literal(value: unknown): string {
  const text = Array.isArray(value) ? `{${value.map(arrayItem).join()}}` : textOf(value);
  const quoted = text.replaceAll("'", "''");
  return text.includes('\\') ? `E'${quoted.replaceAll('\\', '\\\\')}'` : `'${quoted}'`;
}

function arrayItem(value: unknown): string {
  return `"${textOf(value).replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

function textOf(value: unknown): string {
  if (typeof value === 'string' || typeof value === 'number') return String(value);
  throw new TypeError(`A script can't have a parameter like ${typeof value}.`);
}
