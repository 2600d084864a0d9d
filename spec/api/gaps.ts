import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { home } from '../support/entries.ts';
import type { Tag } from './comment.ts';
import type { Name } from './names.ts';

/** Words that say what a number counts or measures. */
const UNIT =
  /\b(milliseconds?|ms|seconds?|bytes?|how (many|often)|number|share|bits|counts?|connections|clients|frames|requests|values|descriptors?|port|negative|unique|size)\b/i;
/** What begins the sentence of a time, which has to name its unit. */
const TIME = /^(How (long|often)|The (longest )?time\b|Time\b)/;
const TIME_UNIT = /\b(milliseconds|ms|seconds?)\b/i;
/** Words that say when an optional property is there, or what holds without it. */
const CONDITION = /\b(if|when|where|while|unless|only|once|without|undefined|by default|otherwise|none|such as)\b/i;
const ANSWER = /\breturns?\b|^Whether|^How|^The\b/i;
const BUILT_IN = new Set(['boolean', 'bigint', 'number', 'string', 'undefined']);

/** What the doc-comment of an exported name lacks, and those of its members: a sentence for each. */
export async function gapsOf(name: Name): Promise<string[]> {
  const lacks = (what: string) => `${name.name} (lib/${name.file}) has no ${what}`;
  const gaps = inAll(name);
  if (needsExample(name) && !name.comment.tags.some(isExample)) gaps.push(lacks('@example with a program'));
  if (name.kind === 'function') {
    if (!name.isEachCommented) gaps.push(lacks('sentence on each overload'));
    const checks = await checksArguments(name);
    if (checks && name.comment.tags.every(({ tag }) => tag !== 'throws')) gaps.push(lacks('@throws'));
    if (name.comment.tags.every(({ tag }) => tag !== 'returns') && name.returns !== 'void')
      gaps.push(lacks('@returns'));
  }
  return gaps;
}

const isExample = ({ tag, text }: Tag) => tag === 'example' && /^```ts$/m.test(text);

/** What a program can call or construct. The library constructs the errors, and nothing constructs an abstract class. */
function needsExample({ kind, bases, signatures, type, isTypeOnly }: Name): boolean {
  if (isTypeOnly) return false;
  if (kind === 'function') return true;
  if (kind === 'constant') return type !== 'unique symbol';
  return kind === 'class' && !bases.some((base) => base.endsWith('Error')) && !signatures[0]?.startsWith('abstract');
}

/** Whether the code of a function checks its arguments by the functions of `lib/options.ts`, or throws such an error itself. */
async function checksArguments({ name, file }: Name): Promise<boolean> {
  const source = await readFile(join(home, 'lib', file), 'utf8');
  const bodies = source.matchAll(new RegExp(`^export function ${name}\\b[\\s\\S]*?^}`, 'gm'));
  return [...bodies].some(([body]) => /\bcheck\w*\(|throw new (Type|Range)Error/.test(body));
}

function inAll(name: Name): string[] {
  return [...ownGaps(name), ...name.members.flatMap(inAll)];
}

/** What is lacking of a sentence, a default, a unit, and a word for each parameter. */
function ownGaps(name: Name): string[] {
  const { comment, kind, type, isOptional, members, parameters } = name;
  const found: string[] = [];
  const all = [comment.text, ...comment.tags.map(({ tag, name, text }) => `@${tag} ${name} ${text}`)].join('\n');
  if (!isNamedByItself(name) && !/^[\p{Lu}\d`{'(][\s\S]*[.:)|`]/u.test(comment.text)) found.push('sentence');
  if (kind === 'property' && isOptional && members.length === 0) {
    const isOption = /Options\./.test(name.name);
    const hasDefault = comment.tags.some(({ tag, text }) => tag === 'default' && text !== '');
    if (isOption && !hasDefault) found.push('@default');
    if (!isOption && !hasDefault && !CONDITION.test(all)) found.push('word on when it is there');
  }
  const unit = TIME.test(comment.text) ? TIME_UNIT : UNIT;
  if (kind === 'property' && isNumber(type) && !unit.test(all)) found.push('unit');
  for (const { name: parameter, type } of new Map(parameters.map((one) => [one.name, one])).values()) {
    const own = comment.tags.find((one) => one.tag === 'param' && one.name === parameter)?.text;
    const isMember = kind === 'constructor';
    if (own === undefined && !isMember && !new RegExp(`\\b${parameter}\\b`).test(all))
      found.push(`word on the parameter ${parameter}`);
    if (isNumber(type) && !isMember && !UNIT.test(own ?? all)) found.push(`unit of ${parameter}`);
  }
  if (kind === 'method' && !/^(void|this|never|)$/.test(name.returns) && !ANSWER.test(all))
    found.push('word on what it returns');
  return found.map((what) => `${name.name} (lib/${name.file}) has no ${what}`);
}

/** A discriminant, the name of an error, and a constructor whose parameters are the fields of its class. */
function isNamedByItself({ name, kind, type }: Name): boolean {
  if (kind === 'constructor') return true;
  const isLiteral = type === '' || /^'[\w-]+'$/.test(type);
  return kind === 'property' && isLiteral && /\.(type|name)$/.test(name);
}

/** Whether a type is a number, or an Observable of it, and nothing that has a doc-comment of its own. */
function isNumber(type: string): boolean {
  if (type.includes('{') || type.includes('=>')) return false;
  const words: readonly string[] = type.match(/[A-Za-z]\w*/g) ?? [];
  return words.includes('number') && words.every((word) => BUILT_IN.has(word) || word === 'Live' || word === 'false');
}
