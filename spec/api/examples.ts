import * as rxjs from 'rxjs';
import type { Entry } from '../support/entries.ts';
import type { Comment } from './comment.ts';
import type { Name } from './names.ts';

/** A program in a doc-comment. */
export interface Example {
  /** The exported name that it is an example of, or one of its members. */
  readonly of: string;
  /** With the imports that the comment leaves out. */
  readonly code: string;
  /** The lines that it has to print, as comments that begin with an arrow say; an ellipsis stands for any text. */
  readonly prints: readonly string[];
}

/** Names that an example takes from its surroundings, where the port is free and a client talks to each server. */
const OURS = ['connect', 'database', 'listen', 'serve'];
/** Names of other packages that an example may use without an import. */
const GIVEN: Readonly<Record<string, string>> = {
  AsyncLocalStorage: "import { AsyncLocalStorage } from 'node:async_hooks';",
  createServer: "import { createServer } from 'node:http';",
  MeterProvider: "import { MeterProvider } from '@opentelemetry/sdk-metrics';",
  Registry: "import { Registry } from 'prom-client';",
  assert: "import assert from 'node:assert/strict';",
  pino: "import { pino } from 'pino';",
  TestScheduler: "import { TestScheduler } from 'rxjs/testing';",
};

/** All programs in the doc-comments of all entries. A name that several entries export is that of the entry of the comment. */
export function examplesOf(names: ReadonlyMap<Entry, readonly Name[]>): Example[] {
  return [...names].flatMap(([entry, own]) => {
    const exported = new Map<string, Exported>();
    for (const [{ specifier }, all] of [...names, [entry, own] as const])
      for (const { name, kind, isTypeOnly } of all)
        exported.set(name, { specifier, isType: isTypeOnly || kind === 'interface' || kind === 'type' });
    const within = (name: Name): Example[] => [
      ...programsIn(name.comment).map((code) => ({
        of: name.name,
        code: withImports(code, exported),
        prints: printsOf(code),
      })),
      ...name.members.flatMap(within),
    ];
    return own.flatMap(within);
  });
}

function programsIn({ text, tags }: Comment): string[] {
  const texts = [text, ...tags.map((tag) => tag.text)];
  return texts.flatMap((one) => [...one.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code = '']) => code));
}

function printsOf(code: string): string[] {
  return [...code.matchAll(/^\/\/ → (.*)$/gm)].map(([, line = '']) => line);
}

/** The ports of what is not a server of this library may be taken on the machine that runs the specs. */
export const onAnyPort = (code: string): string => code.replace(/(\badmin\([^)]*\bport: |\.listen\()\d+/g, '$10');

interface Exported {
  readonly specifier: string;
  readonly isType: boolean;
}

function withImports(code: string, exported: ReadonlyMap<string, Exported>): string {
  const text = code.replace(/\/\/.*|^import .*/gm, '');
  const words = new Set([...text.matchAll(/(?<![.\w'])[A-Za-z]\w*\b(?![':])/g)].map(([word]) => word));
  for (const [, local = ''] of code.matchAll(/\b(?:const|let|class|function) (\w+)/g)) words.delete(local);
  for (const [, names = ''] of code.matchAll(/^import \{ (.*) \} from/gm))
    for (const name of names.split(/, | as /)) words.delete(name);
  for (const keyword of ['async', 'never']) words.delete(keyword);
  const imports = [...words].flatMap((word) => {
    if (word in GIVEN) return GIVEN[word] ?? [];
    if (OURS.includes(word)) return `import { ${word} } from './world.ts';`;
    const found = exported.get(word);
    if (found) return `import { ${found.isType ? 'type ' : ''}${word} } from '${found.specifier}';`;
    return word in rxjs ? `import { ${word} } from 'rxjs';` : [];
  });
  return `${imports.join('\n')}\n\n${onAnyPort(code)}\nexport {};\n`;
}
