/** A block of a doc-comment, such as `@param data A string or bytes.` */
export interface Tag {
  /** Without `@`. */
  readonly tag: string;
  /** What the tag is about: the parameter of `@param`. */
  readonly name: string;
  readonly text: string;
}

/** A doc-comment in parts. */
export interface Comment {
  /** What comes before the first tag. */
  readonly text: string;
  readonly tags: readonly Tag[];
}

const TAG = /(?:^|\s)@(param|returns|throws|default|example|see|deprecated|internal)\b[ \t]*/;

/** Reads the source of a doc-comment, with its delimiters. A tag within a code block or between backticks is text. */
export function readComment(source: string): Comment {
  const lines = source
    .replace(/^\s*\/\*\*/, '')
    .replace(/\s*\*\/\s*$/, '')
    .split('\n')
    .map((line) => line.replace(/^\s*\* ?/, ''));
  let text = '';
  const tags: { tag: string; text: string }[] = [];
  const add = (more: string) => {
    const last = tags.at(-1);
    if (last) last.text += more;
    else text += more;
  };
  let isCode = false;
  for (const line of lines) {
    const isFence = /^\s*```/.test(line);
    let rest = line;
    let found = isCode || isFence ? undefined : tagIn(rest);
    if (isFence) isCode = !isCode;
    for (; found; found = tagIn(rest)) {
      add(rest.slice(0, found.index));
      tags.push({ tag: found[1] ?? '', text: '' });
      rest = rest.slice(found.index + found[0].length);
    }
    add(`${rest}\n`);
  }
  return { text: text.trim(), tags: tags.map(({ tag, text }) => ({ tag, ...subject(tag, text.trim()) })) };
}

/** The first tag in a line that is not within backticks. */
function tagIn(line: string): RegExpExecArray | undefined {
  const plain = line.replace(/`[^`]*`/g, (code) => '`'.repeat(code.length));
  return TAG.exec(plain) ?? undefined;
}

function subject(tag: string, text: string): { name: string; text: string } {
  if (tag !== 'param') return { name: '', text };
  const [, name = '', rest = ''] = /^(\S+)\s*([\s\S]*)$/.exec(text) ?? [];
  return { name, text: rest };
}
