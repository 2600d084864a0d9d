import { syntaxError } from '../refusal.ts';
import type { ByteString } from '../resp/reply.ts';
import { isUnit, type Unit } from './expiry.ts';

/** The options of SET and GETEX; each of the two accepts a part of them. */
export interface StringOptions {
  readonly only: 'NX' | 'XX' | undefined;
  readonly get: boolean;
  readonly keepTtl: boolean;
  readonly persist: boolean;
  readonly unit: Unit | undefined;
  /** The expiry time as it was sent, in {@link unit}. */
  readonly time: ByteString;
}

/** Whether an option excludes others of its kind. The same one may be repeated. */
const ttl = (word: string): boolean => isUnit(word) || word === 'KEEPTTL' || word === 'PERSIST';

/**
 * @param from Where the options begin.
 * @param words The options that are allowed beside the four units.
 * @throws {Refusal} If an option is unknown, lacks its time, or contradicts another.
 */
export function stringOptions(args: readonly ByteString[], from: number, words: readonly string[]): StringOptions {
  const given = new Set<string>();
  let unit: Unit | undefined;
  let time = '';
  for (let index = from; index < args.length; index++) {
    const word = (args[index] ?? '').toUpperCase();
    if (ttl(word) && [...given].some((other) => other !== word && ttl(other))) throw syntaxError();
    if (isUnit(word) && index + 1 < args.length) {
      unit = word;
      time = args[++index] ?? '';
    } else if (!words.includes(word)) throw syntaxError();
    given.add(word);
  }
  if (given.has('NX') && given.has('XX')) throw syntaxError();
  const only = given.has('NX') ? 'NX' : given.has('XX') ? 'XX' : undefined;
  return { only, get: given.has('GET'), keepTtl: given.has('KEEPTTL'), persist: given.has('PERSIST'), unit, time };
}
