import { inspect, types } from 'node:util';
import { isObservable } from 'rxjs';

/** What is wrong with a value: the end of a sentence that begins with the option's name. `outOfRange` makes it a RangeError. */
export type Violation = string | { readonly outOfRange: string };

/** Checks one value. @returns What is wrong with it, or `undefined`. */
export type Check = (value: unknown) => Violation | undefined;

const IN_SHORT = {
  depth: 0,
  breakLength: Number.POSITIVE_INFINITY,
  customInspect: false,
  maxArrayLength: 3,
  maxStringLength: 100,
};

/** Characters of a description at most. */
const LONGEST = 200;

/** A value as a message shows it: one short line, whatever the value is. Never throws, although inspecting the value may. */
export function describe(value: unknown): string {
  try {
    const text = inspect(value, IN_SHORT).replace(/\s+/g, ' ');
    return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
  } catch {
    return `a value of type ${typeof value} that cannot be shown`;
  }
}

const number =
  (range: string, allows: (value: number) => boolean): Check =>
  (value) => {
    const sentence = () => `must be ${range}, not ${describe(value)}`;
    if (typeof value !== 'number') return sentence();
    return allows(value) ? undefined : { outOfRange: sentence() };
  };

/** A whole number from `min` to `max`. */
export const whole = (min: number, max = Number.MAX_SAFE_INTEGER): Check =>
  number(
    `a whole number ${max === Number.MAX_SAFE_INTEGER ? `of ${min} or more` : `from ${min} to ${max}`}`,
    (value) => {
      return Number.isInteger(value) && value >= min && value <= max;
    },
  );

/** A number of at least 1; `Infinity` for no limit. */
export const limit: Check = number(
  'a whole number of 1 or more, or Infinity for no limit',
  (value) => value >= 1 && (Number.isInteger(value) || value === Number.POSITIVE_INFINITY),
);

/** A number of connections, or `share`: the default, by which a peer that has more than its share gives way. */
export type PerAddressLimit = number | 'share';

/** The check of a {@link PerAddressLimit}. */
export const perAddressLimit: Check = (value) => {
  if (value === 'share') return undefined;
  return typeof value === 'string' ? `must be a number, or 'share', not ${describe(value)}` : limit(value);
};

/** A time in milliseconds; `Infinity` for no limit. */
export const milliseconds: Check = number('milliseconds, 0 or more', (value) => value >= 0);

/** A time in milliseconds that has an end. */
export const finiteMilliseconds: Check = number(
  'milliseconds, 0 or more and not Infinity',
  (value) => value >= 0 && value < Number.POSITIVE_INFINITY,
);

/** A time of more than 0 milliseconds; `Infinity` for no limit. */
export const timeLimit: Check = number('more than 0 milliseconds, or Infinity for no limit', (value) => value > 0);

/** A number of bytes; `Infinity` for no limit. */
export const bytes: Check = number(
  'bytes, 1 or more',
  (value) => value >= 1 && (Number.isInteger(value) || value === Number.POSITIVE_INFINITY),
);

/** A number of bytes a second; 0 for no minimum. */
export const rate: Check = number(
  'bytes a second, 0 for no minimum',
  (value) => value >= 0 && value < Number.POSITIVE_INFINITY,
);

/** How often something may happen in a second; `Infinity` for no limit. */
export const perSecond: Check = number('a number a second, 0 or more', (value) => value >= 0);

/** A number from 0 to 1. */
export const fraction: Check = number('from 0 to 1', (value) => value >= 0 && value <= 1);

/** One of some values. */
export const oneOf =
  (...values: readonly unknown[]): Check =>
  (value) =>
    values.includes(value) ? undefined : `must be one of ${values.map(describe).join(', ')}, not ${describe(value)}`;

/** A boolean. */
export const flag: Check = oneOf(true, false);

/** A function. */
export const callable: Check = (value) =>
  typeof value === 'function' ? undefined : `must be a function, not ${describe(value)}`;

/**
 * Whether a value is a Uint8Array, such as a Buffer, of any realm: a test may run in a context of `node:vm`. Unlike
 * `instanceof`, it calls no user code.
 */
export const isBytes = (value: unknown): value is Uint8Array => types.isUint8Array(value);

/** Whether a value can be sent. */
export const isData = (value: unknown): value is string | Uint8Array => typeof value === 'string' || isBytes(value);

/** A value that can be sent. */
export const data: Check = (value) =>
  isData(value) ? undefined : `must be a string or a Uint8Array, not ${describe(value)}`;

/** A value that can be sent, or `undefined`. */
export const dataOrNothing: Check = (value) => (value === undefined ? undefined : data(value));

/** A string that is not empty. */
export const text: Check = (value) =>
  typeof value === 'string' && value !== '' ? undefined : 'must be a string that is not empty';

/** The longest path of a unix socket, in bytes. On Windows it is the name of a pipe, which has no such limit. */
const PATH_BYTES = process.platform === 'linux' ? 107 : process.platform === 'win32' ? Number.POSITIVE_INFINITY : 103;

/** The path of a unix socket, or an abstract name. Checked here because Node 20 silently truncates a longer one. */
export const unixPath: Check = (value) => {
  const wrong = text(value);
  if (wrong !== undefined) return wrong;
  // Node 20 silently binds the part before the NUL. A NUL at the front is part of an abstract name on Linux.
  if ((value as string).indexOf('\0', 1) !== -1) return `must have no NUL byte but the first, not ${describe(value)}`;
  const length = Buffer.byteLength(value as string);
  if (length <= PATH_BYTES) return undefined;
  return { outOfRange: `must have at most ${PATH_BYTES} bytes in UTF-8, not ${length}` };
};

/** A value that has all of these methods. */
export const having =
  (what: string, ...methods: readonly string[]): Check =>
  (value) => {
    const has = (method: string) => typeof (value as Record<string, unknown> | null)?.[method] === 'function';
    return methods.every(has) ? undefined : `must be ${what}, not ${describe(value)}`;
  };

export const schedulerLike: Check = having('a SchedulerLike', 'now', 'schedule');

/** Puts the name of a field in front of what is wrong with its value. */
const inField = (name: string, wrong: Violation): Violation => {
  if (typeof wrong !== 'string') return { outOfRange: `${name}${separator(wrong.outOfRange)}${wrong.outOfRange}` };
  return `${name}${separator(wrong)}${wrong}`;
};
const separator = (wrong: string) => (wrong.startsWith('.') ? '' : wrong.startsWith('there') ? ': ' : ' ');

/** The check of an object of options. */
export interface ObjectCheck extends Check {
  readonly checks: Checks;
  /** The options that must be given. */
  readonly required: readonly string[];
}

/** An object of options, each with its own check. @param required Those that must be given. */
export const object = (checks: Checks, ...required: readonly string[]): ObjectCheck =>
  Object.assign((value: unknown) => readInto(value, checks, {}, required), { checks, required });

/** The checks of options, by name. */
export type Checks = Readonly<Record<string, Check>>;

/** Options that have been read. An option that was not given, or given as `undefined`, is absent. */
export type Given<T> = { readonly [K in keyof T]: Exclude<T[K], undefined> };

/**
 * Reads options as JavaScript does, including inherited ones and getters. Each is read once.
 *
 * @param into Receives the options.
 * @returns What is wrong with them, or `undefined`.
 */
function readInto(
  options: unknown,
  checks: Checks,
  into: Record<string, unknown>,
  required: readonly string[] = [],
): Violation | undefined {
  if (typeof options !== 'object' || options === null) return `must be an object, not ${describe(options)}`;
  // Inherited names are included. Methods and getters of a class are not, because they are not enumerable: a class may have more.
  for (const name in options) {
    if (Object.hasOwn(checks, name)) continue;
    if (isObservable(options)) return 'must be an object, not an Observable';
    return `there is no option ${describe(name)}; the options are ${Object.keys(checks).join(', ')}`;
  }
  // By name, because a handler calls operators with options for each connection: entries would be an array for each.
  for (const name in checks) {
    const check = checks[name] as Check;
    const value = (options as Record<string, unknown>)[name];
    if (value === undefined) {
      if (required.includes(name)) return `.${name} must be given`;
      continue;
    }
    const nested: Record<string, unknown> | undefined = 'checks' in check ? {} : undefined;
    const { checks: inner, required: needed } = check as ObjectCheck;
    const wrong = nested ? readInto(value, inner, nested, needed) : check(value);
    if (wrong) return inField(`.${name}`, wrong);
    into[name] = nested ?? value;
  }
  return undefined;
}

/**
 * Reads and validates options when a function is called, before anything is opened.
 *
 * The values are copied, because the caller may change the object later, and a getter may return another value when it is read
 * again.
 *
 * @param where What cannot be done if they are invalid: the message begins with "Cannot" and this.
 * @param name The name of the parameter.
 * @returns A plain object of the options that were given.
 * @throws TypeError for an option that does not exist or is of the wrong type.
 * @throws RangeError for a number out of its range.
 */
export function check<T>(where: string, options: T, checks: Checks, name = 'options'): Given<T> {
  const given: Record<string, unknown> = {};
  refuse(where, name, readInto(options, checks, given));
  return given as Given<T>;
}

/**
 * Validates a place: where to listen, or where to connect. It has the keys of one of several kinds.
 *
 * @param what Completes the sentence "Cannot …" of the error.
 * @param kinds The key that each kind must have, with the checks of all its keys.
 * @param says Those keys in words, for the error.
 * @throws TypeError or RangeError for a place that cannot be.
 */
export function checkPlace<T>(
  what: string,
  where: T,
  kinds: readonly (readonly [string, Checks])[],
  says: string,
): Given<T> {
  const given = typeof where === 'object' && where !== null ? where : {};
  const kind = kinds.find(([key]) => key in given);
  if (!kind) throw new TypeError(`Cannot ${what}: where must have ${says}`);
  const [key, checks] = kind;
  const read = check(what, where, checks, 'where');
  // Node takes a port that is present but undefined for 0, any free port.
  if (!(key in read)) throw new TypeError(`Cannot ${what}: ${key} is undefined`);
  return read;
}

/**
 * Validates an argument, which, unlike an option, is required.
 *
 * @param where What cannot be done if it is invalid.
 * @param name The name of the parameter.
 * @throws TypeError if it is of the wrong type or missing.
 * @throws RangeError for a number out of its range.
 */
export function checkArgument(where: string, name: string, value: unknown, allowed: Check): void {
  refuse(where, name, allowed(value));
}

function refuse(where: string, name: string, wrong: Violation | undefined): void {
  if (wrong === undefined) return;
  const isRange = typeof wrong !== 'string';
  const text = isRange ? wrong.outOfRange : wrong;
  const path = text.startsWith('.') ? text.slice(1) : `${name}${separator(text)}${text}`;
  throw new (isRange ? RangeError : TypeError)(`Cannot ${where}: ${path}`);
}
