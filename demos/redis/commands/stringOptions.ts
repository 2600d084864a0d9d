import { syntaxError } from '../refusal.ts';
import type { ByteString } from '../resp/reply.ts';
import { isUnit, type Unit } from './expiry.ts';

/** What SET and GETEX can be told, each its own part of it. */
export interface StringOptions {
  readonly only: 'NX' | 'XX' | undefined;
  readonly get: boolean;
  readonly keepTtl: boolean;
  readonly persist: boolean;
  readonly unit: Unit | undefined;
  /** In the unit, as it was sent. */
  readonly time: ByteString;
}

/** Options of which one excludes the other, though it may be said twice. */
const ttl = (word: string): boolean => isUnit(word) || word === 'KEEPTTL' || word === 'PERSIST';

/**
 * @param from Where the options begin.
 * @param words Which are allowed beside the four units.
 * @throws {Refusal} If one is unknown, lacks its time, or contradicts another.
 */
export function stringOptions(args: readonly ByteString[], from: number, words: readonly string[]): StringOptions {
  const said = new Set<string>();
  let unit: Unit | undefined;
  let time = '';
  for (let index = from; index < args.length; index++) {
    const word = (args[index] ?? '').toUpperCase();
    if (ttl(word) && [...said].some((other) => other !== word && ttl(other))) throw syntaxError();
    if (isUnit(word) && index + 1 < args.length) {
      unit = word;
      time = args[++index] ?? '';
    } else if (!words.includes(word)) throw syntaxError();
    said.add(word);
  }
  if (said.has('NX') && said.has('XX')) throw syntaxError();
  const only = said.has('NX') ? 'NX' : said.has('XX') ? 'XX' : undefined;
  return { only, get: said.has('GET'), keepTtl: said.has('KEEPTTL'), persist: said.has('PERSIST'), unit, time };
}
