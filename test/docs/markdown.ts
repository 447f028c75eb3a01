import { readFileSync } from 'node:fs';

/** A fenced TypeScript block. */
export interface Snippet {
  /** Of a whole file; `undefined` for a fragment. */
  readonly title: string | undefined;
  readonly code: string;
  /** Line of the file where the code starts, from 1. */
  readonly line: number;
}

/** A Markdown file, as far as tests look into it. */
export class Markdown {
  readonly text: string;

  constructor(readonly path: string) {
    this.text = readFileSync(path, 'utf8');
  }

  snippets(): Snippet[] {
    const blocks = this.text.matchAll(
      /^```ts(?: title="(?<title>[^"\n]+)")?\n(?<code>.*?)^```$/gms,
    );
    return [...blocks].map(({ index, groups }) => ({
      title: groups?.['title'],
      code: groups?.['code'] ?? '',
      line: this.text.slice(0, index).split('\n').length + 1,
    }));
  }

  /** The rows of the table whose first column has this heading: first cell → other cells. */
  table(heading: string): Map<string, string[]> {
    const lines = this.text.split('\n');
    const start = lines.findIndex((line) => cellsOf(line)[0] === heading);
    if (start === -1) throw new Error(`${this.path} has no table of "${heading}"`);
    const rows = lines.slice(start + 2);
    const length = rows.findIndex((line) => !line.startsWith('|'));
    return new Map(
      rows.slice(0, length).map((line) => {
        const [first = '', ...others] = cellsOf(line);
        return [first.replaceAll('`', ''), others];
      }),
    );
  }

  /** Targets of links, but for those to other sites. */
  localLinks(): string[] {
    return [...this.text.matchAll(/\]\((?!https?:)(?<target>[^)]+)\)/g)].map(
      ({ groups }) => groups?.['target'] ?? '',
    );
  }

  /** Anchors of the headings, as GitHub makes them. */
  anchors(): string[] {
    return [...this.text.matchAll(/^#+ (?<heading>.+)$/gm)].map(
      ({ groups }) =>
        `#${groups?.['heading']
          ?.toLowerCase()
          .replaceAll(/[^\w -]/g, '')
          .replaceAll(' ', '-')}`,
    );
  }
}

function cellsOf(line: string): string[] {
  if (!line.startsWith('|')) return [];
  const cells = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
  return cells.slice(1, -1);
}
