import { types } from 'node:util';
import { describe } from '../options.ts';
import { printable, printableLine } from './printable.ts';

/** Levels of objects that are copied; what lies deeper is described in short. */
const DEPTH = 4;
/** Causes that are told of one error, and errors of one AggregateError. */
const CAUSES = 10;
/** Items of an array, and fields of an object, that are copied. */
const ITEMS = 50;
/** Characters of one text that are copied. */
const LONGEST = 8 * 1024;

const cut = (text: string): string =>
  text.length > LONGEST ? `${text.slice(0, LONGEST)}… (${text.length} characters)` : text;

/**
 * A copy that any logger can print: of objects, arrays and primitive values only, with errors as objects, and with no
 * character that a terminal obeys. It never throws, whatever the value is, and leaves it as it is.
 */
export function plain(value: unknown, depth = DEPTH): unknown {
  if (typeof value === 'string') return printable(cut(value));
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

/** An error as pino prints it: its class, its message with those of its causes, the stacks of all, and its own fields. */
function plainError(error: Error, depth: number): object {
  // Without a prototype, or pino would take `Object` for the class.
  const told: Record<string, unknown> = Object.assign(Object.create(null), {
    type: className(error),
    message: printable(message(error)),
    stack: printable(stack(error)),
  });
  const errors = read(error, 'errors');
  if (Array.isArray(errors) && depth > 0) {
    told.aggregateErrors = errors.slice(0, CAUSES).map((one) => plain(one, depth - 1));
  }
  try {
    return depth === 0 ? told : copy(error, depth, told, TOLD);
  } catch {
    return told;
  }
}

/** An error in one sentence: its class, its message, and the messages of its causes. */
export function sentenceOf(error: unknown): string {
  if (!isError(error)) return printableLine(short(error));
  return printableLine(`${className(error)}: ${message(error)}`);
}

/** Fields of an error that are told in another form. */
const TOLD: readonly string[] = ['type', 'message', 'stack', 'cause', 'errors'];

/** Copies enumerable properties, but for some. */
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
  return typeof text === 'string' ? cut(text) : '';
};

function className(error: object): string {
  const made = read(error, 'constructor');
  const name = typeof made === 'function' ? read(made, 'name') : undefined;
  return printable(typeof name === 'string' && name !== '' ? name : textOf(error, 'name') || 'Error');
}

/** An error and its causes, until one comes again. */
function chain(error: object): object[] {
  const links = new Set<object>();
  for (let link: unknown = error; isError(link) && !links.has(link) && links.size < CAUSES; link = read(link, 'cause'))
    links.add(link);
  return [...links];
}

function message(error: object): string {
  return chain(error)
    .map((link) => textOf(link, 'message') || theirs(link))
    .join(': ');
}

/** What the errors say of which one without a message is made. */
function theirs(error: object): string {
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
