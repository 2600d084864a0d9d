import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Entry, home } from '../support/entries.ts';
import type { Comment } from './comment.ts';
import { Declarations } from './declarations.ts';
import { type Name, namesOf } from './names.ts';

const NOTE = `Made from the doc-comments by \`npm run reference\`. The examples leave out imports: names of \`rxjs\` and of this package are
imported, and \`database\` is anything with an asynchronous \`find\`.`;

const KINDS = ['function', 'constant', 'class', 'interface', 'type'] as const;
const TITLES = {
  function: 'Functions',
  constant: 'Constants',
  class: 'Classes',
  interface: 'Interfaces',
  type: 'Types',
} as const satisfies Record<(typeof KINDS)[number], string>;

/** The reference as Markdown: the pages by their names. */
export function reference(names: ReadonlyMap<Entry, readonly Name[]>): Map<string, string> {
  const pageOf = ({ name }: Entry): string => `${name}.md`;
  const linksOf = (entry: Entry, all: readonly Name[]) =>
    all.map(({ name }) => [name, `${pageOf(entry)}#${anchor(name)}`] as const);
  const links = [...names].flatMap(([entry, all]) => linksOf(entry, all));
  const pages = new Map<string, string>();
  const contents: string[] = [];
  for (const [entry, all] of names) {
    // A name that several entries export is that of the same page.
    const own = new Map([...links, ...linksOf(entry, all)]);
    pages.set(pageOf(entry), new Page(own).write(entry, all));
    contents.push(`## \`${entry.specifier}\`\n\n${tables(all, own)}`);
  }
  return pages.set('README.md', `# Reference\n\n${NOTE}\n\n${contents.join('\n')}`);
}

const anchor = (name: string): string => name.toLowerCase().replace(/[^\w]/g, '');

/** A table of the names of each kind, with the first sentence of each. */
function tables(names: readonly Name[], links: ReadonlyMap<string, string>): string {
  return KINDS.flatMap((kind) => {
    const rows = names
      .filter((name) => name.kind === kind)
      .map(({ name, comment }) => `| [${name}](${links.get(name)}) | ${cell(linked(firstSentence(comment), links))} |`);
    return rows.length > 0 ? [`| ${TITLES[kind]} | |\n|---|---|\n${rows.join('\n')}\n`] : [];
  }).join('\n');
}

const firstSentence = ({ text }: Comment): string => /^[\s\S]*?\.(?=\s|$)/.exec(text)?.[0] ?? text;

/** A text in a cell of a table. Paragraphs and lists stay apart; a program has no place there. */
const cell = (text: string): string =>
  text
    .replace(/^```[\s\S]*?^```\n?/gm, '')
    .trim()
    .replaceAll('|', '\\|')
    .replace(/\n\n+|\n(?=\s*- )/g, '<br>')
    .replace(/\s*\n\s*/g, ' ');

/** `{@link name}` as a link where the reference has the name, and as code elsewhere. */
const linked = (text: string, links: ReadonlyMap<string, string>): string =>
  text.replace(/\{@link ([\w.]+)\}/g, (_, name: string) => {
    const link = links.get(name);
    return link ? `[${name}](${link})` : `\`${name}\``;
  });

/** @param of The member that it is an example of. */
function example(text: string, of = ''): string {
  const at = text.indexOf('```ts');
  return `**Example${of}.** ${text.slice(0, at).trim()}\n\n${text.slice(at)}\n`;
}

class Page {
  readonly #links: ReadonlyMap<string, string>;

  constructor(links: ReadonlyMap<string, string>) {
    this.#links = links;
  }

  write({ specifier }: Entry, names: readonly Name[]): string {
    const sections = names.map((name) => this.#section(name));
    return `# ${specifier}\n\n${sections.join('\n')}`;
  }

  #section(name: Name): string {
    const { comment, signatures, bases, members, kind } = name;
    const shown = kind === 'type' && members.length > 0 ? [] : signatures;
    const parts = [
      `## ${name.name}\n`,
      shown.length > 0 ? `\`\`\`ts\n${shown.join('\n')}\n\`\`\`\n` : '',
      `${this.#link(comment.text)}\n`,
      this.#tags(comment),
      this.#members(name),
      bases.length > 0 ? `Also: the members of ${bases.map((base) => this.#base(base)).join(', ')}.\n` : '',
    ];
    return parts
      .filter((part) => part !== '')
      .join('\n')
      .replace(/[ \t]+$/gm, '')
      .replace(/\n{3,}/g, '\n\n');
  }

  #tags({ tags }: Comment): string {
    const items: string[] = [];
    const examples: string[] = [];
    for (const { tag, name, text } of tags) {
      const said = this.#link(text).replace(/\s*\n\s*/g, ' ');
      if (tag === 'param') items.push(`- \`${name}\`: ${said}`);
      if (tag === 'returns') items.push(`- returns: ${said}`);
      if (tag === 'throws') items.push(`- throws: ${said}`);
      if (tag === 'default') items.push(`- default: ${said}`);
      if (tag === 'example') examples.push(example(this.#link(text)));
    }
    return [items.join('\n'), ...examples]
      .filter((part) => part !== '')
      .join('\n\n')
      .concat('\n');
  }

  #members({ name: owner, members }: Name): string {
    const all = members.flatMap((member) => [member, ...deep(member)]);
    const rows = all.map((member) => {
      const { name, kind, comment, isOptional, signatures } = member;
      const short = name.slice(owner.length + 1);
      const type = kind === 'property' && member.members.length === 0 ? `: ${member.type}` : '';
      const shown =
        kind === 'method' || kind === 'constructor' ? signatures.join('\n') : `${short}${isOptional ? '?' : ''}${type}`;
      const preset = comment.tags.find(({ tag }) => tag === 'default')?.text;
      const tags = comment.tags.filter(({ tag }) => !['default', 'example'].includes(tag));
      const said = [
        this.#link(comment.text),
        ...tags.map(({ tag, name, text }) => `${tag === 'param' ? `\`${name}\`` : tag}: ${this.#link(text)}`),
      ];
      if (preset) said.push(`default: ${preset}`);
      return `| \`${cell(shown.replace(/^(abstract |readonly |get )+/, ''))}\` | ${cell(said.join('\n\n'))} |`;
    });
    const examples = all.flatMap(({ name, comment }) =>
      comment.tags
        .filter(({ tag }) => tag === 'example')
        .map(({ text }) => example(this.#link(text), ` of \`${name}\``)),
    );
    return rows.length > 0 ? [`\n| member | |\n|---|---|\n${rows.join('\n')}\n`, ...examples, ''].join('\n') : '';
  }

  #base(base: string): string {
    const name = base.replace(/<.*/s, '');
    const link = this.#links.get(name);
    return link ? `[\`${base}\`](${link})` : `\`${base}\``;
  }

  #link(text: string): string {
    return linked(text, this.#links);
  }
}

/** Members of members, such as `waiting.max`. */
const deep = ({ members }: Name): Name[] => members.flatMap((member) => [member, ...deep(member)]);

// npm run reference
if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const folder = join(home, 'reference');
  const declarations = await Declarations.build();
  const pages = reference(namesOf(declarations));
  await declarations.remove();
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder);
  for (const [name, text] of pages) await writeFile(join(folder, name), text);
  console.log(`${pages.size} pages in ${folder}`);
}
