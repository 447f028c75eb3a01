import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { createTestDatabase } from '../support/database.js';
import { Markdown } from './markdown.js';
import { optionNames } from './option-names.js';
import { SnippetProject } from './snippet-project.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const document = new Markdown(join(root, 'docs/testing.md'));
const project = new SnippetProject(document, [new Markdown(join(root, 'README.md'))]);
const database = await createTestDatabase();

afterAll(async () => {
  project.remove();
  await database.drop();
});

describe('docs/testing.md', () => {
  it('has samples that compile', { timeout: 120_000 }, () => {
    expect(document.snippets()).toHaveLength(4);
    expect(project.problems()).toEqual([]);
  });

  it('has a table with the options that are the testing module’s own', () => {
    const { program } = project;
    const ofModule = optionNames(program, 'events.options.ts', 'EventsModuleOptions');
    const all = optionNames(program, 'testing/events-testing.options.ts', 'EventsTestingOptions');
    const own = all.filter((name) => !ofModule.includes(name));
    expect([...document.table('Testing option').keys()].toSorted()).toEqual(
      [...own, 'namespace'].toSorted(),
    );
  });
});

// They are what a reader would run: each registers its own tests here.
process.env['TEST_DATABASE_URL'] = database.url;
describe.each(document.snippets())('$title', async ({ title = '' }) => {
  await project.import(title);
});
