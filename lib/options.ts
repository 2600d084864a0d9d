import { inspect } from 'node:util';

/** Looks at one option: returns what is wrong with it, to stand behind its name, or nothing. */
export type Check = (value: unknown) => string | undefined;

const describe = (value: unknown) => inspect(value, { depth: 0, breakLength: Number.POSITIVE_INFINITY });

const number =
  (says: string, allows: (value: number) => boolean): Check =>
  (value) =>
    typeof value === 'number' && allows(value) ? undefined : `must be ${says}, not ${describe(value)}`;

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

/** A number of bytes, or `Infinity` for no limit. */
export const bytes: Check = number(
  'bytes, 1 or more',
  (value) => value >= 1 && (Number.isInteger(value) || value === Number.POSITIVE_INFINITY),
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

/** A string that says something. */
export const text: Check = (value) =>
  typeof value === 'string' && value !== '' ? undefined : 'must be a string that is not empty';

/** A value that has all of some methods. */
export const having =
  (says: string, ...methods: readonly string[]): Check =>
  (value) => {
    const has = (method: string) => typeof (value as Record<string, unknown> | null)?.[method] === 'function';
    return methods.every(has) ? undefined : `must be ${says}, not ${describe(value)}`;
  };

const separator = (wrong: string) => (wrong.startsWith('.') ? '' : wrong.startsWith('there') ? ': ' : ' ');

/** An object of options, each with its own check. */
export const object =
  (checks: Record<string, Check>): Check =>
  (value) => {
    if (typeof value !== 'object' || value === null) return `must be an object, not ${describe(value)}`;
    for (const [name, option] of Object.entries(value)) {
      if (!Object.hasOwn(checks, name))
        return `there is no option ${describe(name)}; it knows ${Object.keys(checks).join(', ')}`;
      const wrong = option === undefined ? undefined : checks[name]?.(option);
      if (wrong) return `.${name}${separator(wrong)}${wrong}`;
    }
    return undefined;
  };

/**
 * Checks options at the door, before anything is opened.
 *
 * @throws TypeError for an option that does not exist or is of the wrong type.
 * @throws RangeError for a number out of its range.
 */
export function check(where: string, options: unknown, checks: Record<string, Check>): void {
  const wrong = object(checks)(options);
  if (wrong === undefined) return;
  const path = wrong.startsWith('.') ? wrong.slice(1) : `options${separator(wrong)}${wrong}`;
  const isRange = /must be (a whole number|milliseconds|bytes|from).*, not (-?[\d.]+(e[+-]\d+)?|NaN|-?Infinity)$/;
  const Failure = isRange.test(wrong) ? RangeError : TypeError;
  throw new Failure(`Cannot ${where}: ${path}`);
}
