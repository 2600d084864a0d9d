import { inspect, types } from 'node:util';

/** What is wrong with an option, to stand behind its name: a sentence, or that of a number out of its range. */
export type Wrong = string | { readonly outOfRange: string };

/** Looks at one option: returns what is wrong with it, or nothing. */
export type Check = (value: unknown) => Wrong | undefined;

const SHORT = {
  depth: 0,
  breakLength: Number.POSITIVE_INFINITY,
  customInspect: false,
  maxArrayLength: 3,
  maxStringLength: 100,
};

/** Characters of a description; what has more is cut. */
const LONGEST = 200;

/** A value as a message shows it: in one short line, whatever it is. It never throws, as a value itself may when it is looked at. */
export function describe(value: unknown): string {
  try {
    const text = inspect(value, SHORT).replace(/\s+/g, ' ');
    return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
  } catch {
    return `a value of type ${typeof value} that cannot be shown`;
  }
}

const number =
  (says: string, allows: (value: number) => boolean): Check =>
  (value) => {
    const sentence = () => `must be ${says}, not ${describe(value)}`;
    if (typeof value !== 'number') return sentence();
    return allows(value) ? undefined : { outOfRange: sentence() };
  };

/** A whole number from `min` up. */
export const whole = (min: number, max = Number.MAX_SAFE_INTEGER): Check =>
  number(
    `a whole number ${max === Number.MAX_SAFE_INTEGER ? `of ${min} or more` : `from ${min} to ${max}`}`,
    (value) => {
      return Number.isInteger(value) && value >= min && value <= max;
    },
  );

/** A time in milliseconds; `Infinity` for no limit. */
export const milliseconds: Check = number('milliseconds, 0 or more', (value) => value >= 0);

/** A time in milliseconds that is not over at once; `Infinity` for no limit. */
export const patience: Check = number('more than 0 milliseconds, or Infinity for no limit', (value) => value > 0);

/** A number of bytes, or `Infinity` for no limit. */
export const bytes: Check = number(
  'bytes, 1 or more',
  (value) => value >= 1 && (Number.isInteger(value) || value === Number.POSITIVE_INFINITY),
);

/** A number of bytes a second; 0 for no minimum. */
export const rate: Check = number(
  'bytes a second, 0 for no minimum',
  (value) => value >= 0 && value < Number.POSITIVE_INFINITY,
);

/** A share, from 0 to 1. */
export const share: Check = number('from 0 to 1', (value) => value >= 0 && value <= 1);

/** One of some words. */
export const oneOf =
  (...words: readonly unknown[]): Check =>
  (value) =>
    words.includes(value) ? undefined : `must be one of ${words.map(describe).join(', ')}, not ${describe(value)}`;

/** A boolean. */
export const flag: Check = oneOf(true, false);

/** A function. */
export const callable: Check = (value) =>
  typeof value === 'function' ? undefined : `must be a function, not ${describe(value)}`;

/**
 * Whether a value is bytes: a Uint8Array, and so a Buffer, of any realm, such as a context of `node:vm` in which a test runs.
 * It looks at the value itself, and so calls no user code, where `instanceof` may.
 */
export const isBytes = (value: unknown): value is Uint8Array => types.isUint8Array(value);

/** Whether a value can be sent. */
export const isData = (value: unknown): value is string | Uint8Array => typeof value === 'string' || isBytes(value);

/** What can be sent. */
export const data: Check = (value) =>
  isData(value) ? undefined : `must be a string or a Uint8Array, not ${describe(value)}`;

/** A string that says something. */
export const text: Check = (value) =>
  typeof value === 'string' && value !== '' ? undefined : 'must be a string that is not empty';

/** Bytes that the system has for the path of a unix socket. Windows has pipes with names of their own instead. */
const PATH_BYTES = process.platform === 'linux' ? 107 : process.platform === 'win32' ? Number.POSITIVE_INFINITY : 103;

/** The path of a unix socket, or an abstract name. Node 20 would cut off in silence what is too long. */
export const unixPath: Check = (value) => {
  const wrong = text(value);
  if (wrong !== undefined) return wrong;
  // Node 20 would bind what stands before it. At the front it makes an abstract name of Linux.
  if ((value as string).indexOf('\0', 1) !== -1) return `must have no NUL byte but the first, not ${describe(value)}`;
  const length = Buffer.byteLength(value as string);
  if (length <= PATH_BYTES) return undefined;
  return { outOfRange: `must have at most ${PATH_BYTES} bytes in UTF-8, not ${length}` };
};

/** A value that has all of some methods. */
export const having =
  (says: string, ...methods: readonly string[]): Check =>
  (value) => {
    const has = (method: string) => typeof (value as Record<string, unknown> | null)?.[method] === 'function';
    return methods.every(has) ? undefined : `must be ${says}, not ${describe(value)}`;
  };

/** Puts something in front of what is wrong. */
const behind = (name: string, wrong: Wrong): Wrong => {
  if (typeof wrong !== 'string') return { outOfRange: `${name}${separator(wrong.outOfRange)}${wrong.outOfRange}` };
  return `${name}${separator(wrong)}${wrong}`;
};
const separator = (wrong: string) => (wrong.startsWith('.') ? '' : wrong.startsWith('there') ? ': ' : ' ');

/** A check of an object of options, each with its own check. */
interface ObjectCheck extends Check {
  readonly checks: Checks;
}

/** An object of options, each with its own check. */
export const object = (checks: Checks): ObjectCheck =>
  Object.assign((value: unknown) => read(value, checks, {}), { checks });

/** Options by their names. */
export type Checks = Readonly<Record<string, Check>>;

/** Options as they were read: one that was not given, or given as `undefined`, is not there. */
export type Given<T> = { readonly [K in keyof T]: Exclude<T[K], undefined> };

/**
 * Reads options as JavaScript does, inherited ones and getters included, and each of them once.
 *
 * @param into Where they go.
 * @returns What is wrong with them.
 */
function read(options: unknown, checks: Checks, into: Record<string, unknown>): Wrong | undefined {
  if (typeof options !== 'object' || options === null) return `must be an object, not ${describe(options)}`;
  // Inherited ones, too; but methods and getters of a class are not enumerable, and it may have others than ours.
  for (const name in options) {
    if (!Object.hasOwn(checks, name))
      return `there is no option ${describe(name)}; it knows ${Object.keys(checks).join(', ')}`;
  }
  for (const [name, check] of Object.entries(checks)) {
    const value = (options as Record<string, unknown>)[name];
    if (value === undefined) continue;
    const nested: Record<string, unknown> | undefined = 'checks' in check ? {} : undefined;
    const wrong = nested ? read(value, (check as ObjectCheck).checks, nested) : check(value);
    if (wrong) return behind(`.${name}`, wrong);
    into[name] = nested ?? value;
  }
  return undefined;
}

/**
 * Reads and checks options at the door, before anything is opened. What they are then they are for good: an object of the
 * caller's may change later, or answer otherwise when it is asked again.
 *
 * @param where What cannot be done if they are wrong.
 * @param name What the object is called where it is given.
 * @returns A plain object of those that were given.
 * @throws TypeError for an option that does not exist or is of the wrong type.
 * @throws RangeError for a number out of its range.
 */
export function check<T>(where: string, options: T, checks: Checks, name = 'options'): Given<T> {
  const given: Record<string, unknown> = {};
  refuse(where, name, read(options, checks, given));
  return given as Given<T>;
}

/**
 * Checks an argument, which, unlike an option, cannot be left out.
 *
 * @throws TypeError if it is of the wrong type, or not there.
 * @throws RangeError for a number out of its range.
 */
export function checkArgument(where: string, name: string, value: unknown, allowed: Check): void {
  refuse(where, name, allowed(value));
}

function refuse(where: string, name: string, wrong: Wrong | undefined): void {
  if (wrong === undefined) return;
  const isRange = typeof wrong !== 'string';
  const says = isRange ? wrong.outOfRange : wrong;
  const path = says.startsWith('.') ? says.slice(1) : `${name}${separator(says)}${says}`;
  throw new (isRange ? RangeError : TypeError)(`Cannot ${where}: ${path}`);
}
