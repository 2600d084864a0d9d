import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Entry } from '../support/entries.ts';
import { readComment } from './comment.ts';
import { Declarations } from './declarations.ts';
import { type Example, examplesOf } from './examples.ts';
import { gapsOf } from './gaps.ts';
import { type Name, namesOf } from './names.ts';
import { Programs } from './programs.ts';
import { reference } from './reference.ts';

let names: Map<Entry, Name[]>;
let examples: Example[];
let programs: Programs;

beforeAll(async () => {
  const declarations = await Declarations.build();
  names = namesOf(declarations);
  await declarations.remove();
  examples = examplesOf(names);
  programs = await Programs.of(examples.map(({ code, prints }) => ({ code, prints: prints.length })));
});

afterAll(() => programs.remove());

describe('the reader of doc-comments', () => {
  it('finds tags at the beginning and at the end of a line, and none within code', () => {
    const source = `/**
   * How long, in \`@default\` milliseconds.
   *
   * \`\`\`ts
   * @Controller() class A {}
   * @param no
   * \`\`\`
   *
   * @example A title.
   * \`\`\`ts
   * @returns no
   * \`\`\`
   * @param data Bytes,
   *   or text. @default none
   * @param more Bytes. @default no bytes
   */`;
    expect(readComment(source)).toEqual({
      text: 'How long, in `@default` milliseconds.\n\n```ts\n@Controller() class A {}\n@param no\n```',
      tags: [
        { tag: 'example', name: '', text: 'A title.\n```ts\n@returns no\n```' },
        { tag: 'param', name: 'data', text: 'Bytes,\n  or text.' },
        { tag: 'default', name: '', text: 'none' },
        { tag: 'param', name: 'more', text: 'Bytes.' },
        { tag: 'default', name: '', text: 'no bytes' },
      ],
    });
  });
});

describe('the reference', () => {
  it('has a section for each exported name, and links to sections that it has', () => {
    const pages = reference(names);
    const sections = new Set<string>();
    for (const [page, text] of pages)
      for (const [, heading = ''] of text.matchAll(/^## (\w+)$/gm)) sections.add(`${page}#${heading.toLowerCase()}`);
    for (const [entry, all] of names)
      for (const { name } of all) expect(sections).toContain(`${entry.name}.md#${name.toLowerCase()}`);
    const links = [...pages.values()].flatMap((text) =>
      [...text.matchAll(/\]\((\w+\.md#\w+)\)/g)].map(([, link = '']) => link),
    );
    expect(links.length).toBeGreaterThan(sections.size);
    expect(links.filter((link) => !sections.has(link))).toEqual([]);
  });
});

describe('the doc-comments', () => {
  it('say of each exported name and its members what it is, with units, defaults, examples and errors', async () => {
    const all = [...names.values()].flat();
    expect(all.length).toBeGreaterThan(130);
    expect((await Promise.all(all.map(gapsOf))).flat()).toEqual([]);
  });

  it('have examples that the compiler accepts', async () => {
    expect(examples.length).toBeGreaterThan(30);
    expect(await programs.compile()).toEqual({ code: 0, output: '' });
  });

  it('have examples that run, and print what they say', async () => {
    const runs = await programs.run();
    const outcomes = runs.map((run, i) => ({ of: examples[i]?.of, ...run }));
    expect(outcomes).toEqual(examples.map(({ of, prints }) => ({ of, printed: prints.map(asPattern), failures: [] })));
  });
});

/** A line in which an ellipsis stands for any text. */
function asPattern(line: string): unknown {
  if (!line.includes('…')) return line;
  const parts = line.split('…').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return expect.stringMatching(new RegExp(`^${parts.join('.+')}$`));
}
