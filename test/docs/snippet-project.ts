import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import ts from 'typescript';
import type { Markdown, Snippet } from './markdown.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const fixtures = fileURLToPath(new URL('fixtures', import.meta.url));

/** Stands in the first line of fragments, so that their lines stay countable. */
const FRAGMENT_IMPORTS = [
  `import { defineEvent, EventBus, EventHandler, EventsModule, UnrecoverableEventError } from 'nestjs-durable-events';`,
  `import type { BatchResult, DomainEvent, HandlerContext } from 'nestjs-durable-events';`,
  `import { Injectable } from '@nestjs/common';`,
  `import { TypeOrmModule } from '@nestjs/typeorm';`,
  `import { z } from 'zod';`,
  `import { Order } from './order.entity.js';`,
].join(' ');

/** A project in a temporary folder, made of the snippets of a file and what they need of the reader. */
export class SnippetProject {
  private readonly folder = mkdtempSync(join(tmpdir(), 'events-snippets-'));
  private readonly sources = new Map<string, Snippet>();
  readonly program: ts.Program;

  /** @param others files whose snippets those of this one import */
  constructor(
    private readonly markdown: Markdown,
    others: readonly Markdown[] = [],
  ) {
    cpSync(fixtures, this.folder, { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(this.folder, 'node_modules'));
    this.write('package.json', JSON.stringify({ type: 'module' }));
    this.write(
      'tsconfig.json',
      JSON.stringify({ extends: join(root, 'tsconfig.json'), include: ['.'] }),
    );
    for (const { title, code } of others.flatMap((other) => other.snippets())) {
      if (title !== undefined) this.write(title, code);
    }
    for (const [index, snippet] of markdown.snippets().entries()) {
      const { title = `fragment-${index}.ts`, code } = snippet;
      const first = snippet.title === undefined ? FRAGMENT_IMPORTS : '';
      this.sources.set(this.write(title, `${first}\n${code}`), snippet);
    }
    this.program = this.createProgram();
  }

  /** `README.md:12: message` of everything the compiler finds wrong in the snippets. */
  problems(): string[] {
    return ts
      .getPreEmitDiagnostics(this.program)
      .filter(({ file }) => file === undefined || file.fileName.startsWith(this.folder))
      .map((diagnostic) => this.describe(diagnostic));
  }

  /** Runs a snippet: what the module of that title exports. */
  async import<T>(title: string): Promise<T> {
    return (await import(/* @vite-ignore */ pathToFileURL(join(this.folder, title)).href)) as T;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }

  private write(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text);
    return path;
  }

  private createProgram(): ts.Program {
    const parsed = ts.getParsedCommandLineOfConfigFile(
      join(root, 'tsconfig.json'),
      { noUnusedLocals: false, noUnusedParameters: false },
      { ...ts.sys, onUnRecoverableConfigFileDiagnostic: () => undefined },
    );
    if (parsed === undefined) throw new Error('tsconfig.json was not found');
    const globals = join(this.folder, 'globals.ts');
    return ts.createProgram([...this.sources.keys(), globals], parsed.options);
  }

  private describe({ file, start, messageText }: ts.Diagnostic): string {
    const message = ts.flattenDiagnosticMessageText(messageText, '\n');
    const snippet = file && this.sources.get(file.fileName);
    if (file === undefined || snippet === undefined) return `${file?.fileName}: ${message}`;
    const { line } = file.getLineAndCharacterOfPosition(start ?? 0);
    return `${this.markdown.path}:${snippet.line + line - 1}: ${message}`;
  }
}
