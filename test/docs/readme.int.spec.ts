import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import type { Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import * as library from 'nestjs-durable-events';
import { DataSource } from 'typeorm';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { DEFAULTS } from '../../lib/events.options.js';
import { tableNames } from '../../lib/store/tables.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { Markdown } from './markdown.js';
import { optionNames, optionPaths } from './option-names.js';
import { SnippetProject } from './snippet-project.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const readme = new Markdown(join(root, 'README.md'));
const howItWorks = new Markdown(join(root, 'docs/how-it-works.md'));
const reliability = new Markdown(join(root, 'docs/reliability.md'));
const testing = new Markdown(join(root, 'docs/testing.md'));

describe('the README', () => {
  let project: SnippetProject;
  beforeAll(() => {
    project = new SnippetProject(readme);
  }, 120_000);
  afterAll(() => project?.remove());

  it('has snippets that compile', { timeout: 120_000 }, () => {
    expect(readme.snippets().length).toBeGreaterThan(8);
    expect(project.problems()).toEqual([]);
  });

  it('has a table with every option of the module', () => {
    const { program } = project;
    const options = optionPaths(program, 'events.options.ts', 'EventsModuleOptions');
    expect([...readme.table('Option').keys()].toSorted()).toEqual(options.toSorted());
  });

  it.each([
    ['Emit option', 'emit/emit.options.ts', 'EmitOptions'],
    ['Handler option', 'handle/handler.options.ts', 'HandlerOptions'],
  ])('has a table "%s" with every option', (heading, file, name) => {
    const options = optionNames(project.program, file, name);
    expect([...readme.table(heading).keys()].toSorted()).toEqual(options.toSorted());
  });

  it('names the defaults that hold', () => {
    const table = readme.table('Option');
    for (const [option, value] of defaults()) {
      expect([option, table.get(option)?.[0]]).toEqual([option, `\`${inspect(value)}\``]);
    }
  });

  it('has a table with every error, and its code', () => {
    const table = readme.table('Code');
    expect([...table.keys()].toSorted()).toEqual(
      Object.values(library.EVENTS_ERROR_CODES).toSorted(),
    );
    const classes = [...table.values()].map(([name = '']) => name.replaceAll('`', ''));
    expect(classes.toSorted()).toEqual(errorClasses().toSorted());
  });

  describe('quick start', () => {
    let database: TestDatabase;

    beforeEach(async () => {
      database = await createTestDatabase();
      vi.resetModules();
      vi.stubEnv('DATABASE_URL', database.url);
      await createOrdersTable();
      return async () => {
        vi.unstubAllEnvs();
        await database.drop();
      };
    });

    it('runs', () => expectOrderHandled());

    it('runs in production, where the migrations of the README did', async () => {
      vi.stubEnv('NODE_ENV', 'production');
      await expect(expectOrderHandled()).rejects.toMatchObject({
        code: library.EVENTS_ERROR_CODES.SCHEMA_OUTDATED,
      });
      const { default: source } = await project.import<{ default: DataSource }>('data-source.ts');
      await source.initialize();
      await source.runMigrations();
      await source.destroy();
      await expectOrderHandled();
    });

    /** That is the reader's own. */
    async function createOrdersTable(): Promise<void> {
      const { Order } = await project.import<{ Order: Type }>('order.entity.ts');
      const { url } = database;
      const source = new DataSource({ type: 'postgres', url, entities: [Order] });
      await source.initialize();
      await source.synchronize();
      await source.destroy();
    }

    async function expectOrderHandled(): Promise<void> {
      const { AppModule } = await project.import<{ AppModule: Type }>('app.module.ts');
      const { Orders } = await project.import<{ Orders: Type<Orders> }>('orders.ts');
      const { Mailer } = await project.import<{ Mailer: Type }>('mailer.ts');
      const app = await NestFactory.createApplicationContext(AppModule, {
        logger: false,
        abortOnError: false,
      });
      try {
        const sent = once(app.get(Mailer), 'sent');
        await app.get(Orders).place({ id: 'o1', total: 42 });
        expect(await sent).toEqual(['Order o1', expect.stringMatching(/^[\da-f-]{36}$/)]);
        expect(await app.get(DataSource).query('SELECT id FROM orders')).toEqual([{ id: 'o1' }]);
      } finally {
        await app.close();
      }
    }
  });
});

describe('the documents', () => {
  it.each([
    ['README.md', readme],
    ['docs/how-it-works.md', howItWorks],
    ['docs/reliability.md', reliability],
    ['docs/testing.md', testing],
  ])('%s links to what exists', (_name, document) => {
    const broken = document.localLinks().filter((target) => {
      if (target.startsWith('#')) return !document.anchors().includes(target);
      return !existsSync(join(dirname(document.path), target));
    });
    expect(broken).toEqual([]);
  });

  it('explain every table of the database', () => {
    const {
      prefix,
      schema: _schema,
      ...names
    } = tableNames(
      { prefix: DEFAULTS.tables.prefix, schema: undefined },
      (identifier) => identifier,
    );
    expect(prefix).toBe('events_');
    expect([...howItWorks.table('Table').keys()].toSorted()).toEqual(
      Object.values(names).toSorted(),
    );
  });
});

interface Orders {
  place(order: { id: string; total: number }): Promise<void>;
}

/** Path of an option → its default, for all that have one. */
function defaults(): [string, unknown][] {
  return Object.entries(DEFAULTS).flatMap(([name, value]): [string, unknown][] => {
    if (typeof value !== 'object') return [[name, value]];
    const path = name === 'queue' ? 'queues.<name>' : name;
    return Object.entries(value).map(([key, each]) => [`${path}.${key}`, each]);
  });
}

/** Names of the exported errors, but for their base. */
function errorClasses(): string[] {
  const { EventsError } = library;
  return Object.entries(library).flatMap(([name, value]) =>
    typeof value === 'function' && value.prototype instanceof EventsError ? [name] : [],
  );
}
