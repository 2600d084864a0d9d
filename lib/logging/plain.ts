import { types } from 'node:util';
import { describe } from '../options.ts';
import { printable, printableLine } from './printable.ts';

/** Levels of nested objects that are copied. Deeper values are described in short. */
const DEPTH = 4;
/** Causes of one error, and errors of one AggregateError, that are copied. */
const CAUSES = 10;
/** Items of an array, and fields of an object, that are copied. */
const ITEMS = 50;
/** Characters of one text that are copied. */
const LONGEST = 8 * 1024;

const truncated = (text: string): string =>
  text.length > LONGEST ? `${text.slice(0, LONGEST)}… (${text.length} characters)` : text;

/**
 * A copy of a value that any logger can print. It consists of objects, arrays and primitive values only, has errors as objects,
 * and has no control characters. It never throws, whatever the value is, and does not change the value.
 */
export function plain(value: unknown, depth = DEPTH): unknown {
  if (typeof value === 'string') return printable(truncated(value));
  if (typeof value !== 'object' || value === null) return isPrimitive(value) ? value : short(value);
  if (isError(value)) return plainError(value, depth);
  if (depth === 0) return short(value);
  try {
    if (Array.isArray(value)) return value.slice(0, ITEMS).map((item) => plain(item, depth - 1));
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== null && prototype !== Object.prototype) return short(value);
    return copy(value, depth, {});
  } catch {
    return short(value);
  }
}

/** An error in pino's format: its class, its message and those of its causes, all their stacks, and its own fields. */
function plainError(error: Error, depth: number): object {
  // Without a prototype, because pino would print `Object` as the class.
  const copied: Record<string, unknown> = Object.assign(Object.create(null), {
    type: className(error),
    message: printable(message(error)),
    stack: printable(stack(error)),
  });
  const errors = read(error, 'errors');
  if (Array.isArray(errors) && depth > 0) {
    copied.aggregateErrors = errors.slice(0, CAUSES).map((one) => plain(one, depth - 1));
  }
  try {
    return depth === 0 ? copied : copy(error, depth, copied, COPIED);
  } catch {
    return copied;
  }
}

/** An error in one sentence: its class, its message, and, unless that is left out, the messages of its causes. */
export function sentenceOf(error: unknown, hasCauses = true): string {
  if (!isError(error)) return printableLine(short(error));
  return printableLine(`${className(error)}: ${hasCauses ? message(error) : textOf(error, 'message')}`);
}

/** Fields of an error that are copied in another form. */
const COPIED: readonly string[] = ['type', 'message', 'stack', 'cause', 'errors'];

/** Copies enumerable properties, except those of these names. */
function copy(
  from: object,
  depth: number,
  to: Record<string, unknown>,
  without: readonly string[] = [],
): Record<string, unknown> {
  for (const key of Object.keys(from).slice(0, ITEMS)) {
    const name = printable(key);
    if (without.includes(name)) continue;
    const value = read(from, key);
    if (value !== undefined) to[name] = plain(value, depth - 1);
  }
  return to;
}

const isPrimitive = (value: unknown): boolean => typeof value !== 'symbol' && typeof value !== 'function';

function isError(value: unknown): value is Error {
  try {
    return types.isNativeError(value) || value instanceof Error;
  } catch {
    return false;
  }
}

/** A property, or `undefined` if it cannot be read. */
function read(from: object, key: string): unknown {
  try {
    return Reflect.get(from, key);
  } catch {
    return undefined;
  }
}

const textOf = (error: object, key: string): string => {
  const text = read(error, key);
  return typeof text === 'string' ? truncated(text) : '';
};

function className(error: object): string {
  const made = read(error, 'constructor');
  const name = typeof made === 'function' ? read(made, 'name') : undefined;
  return printable(typeof name === 'string' && name !== '' ? name : textOf(error, 'name') || 'Error');
}

/** An error and its causes. A cause that refers back to an earlier one ends the chain. */
function chain(error: object): object[] {
  const links = new Set<object>();
  for (let link: unknown = error; isError(link) && !links.has(link) && links.size < CAUSES; link = read(link, 'cause'))
    links.add(link);
  return [...links];
}

function message(error: object): string {
  return chain(error)
    .map((link) => textOf(link, 'message') || messageOfParts(link))
    .join(': ');
}

/** The messages of the errors in an AggregateError that has no message of its own. */
function messageOfParts(error: object): string {
  const errors = read(error, 'errors');
  if (!Array.isArray(errors)) return '';
  const texts = errors.slice(0, CAUSES).map((one) => (isError(one) ? textOf(one, 'message') : short(one)));
  return texts.filter((text) => text !== '').join('; ');
}

const stack = (error: object): string =>
  chain(error)
    .map((link) => textOf(link, 'stack'))
    .join('\ncaused by: ');

function short(value: unknown): string {
  try {
    return printable(describe(value));
  } catch {
    return 'a value that cannot be described';
  }
}
