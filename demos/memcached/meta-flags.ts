import { parseI32, parseU32, parseU64 } from './numbers.ts';

/** The flags of a meta command: each is a letter, and some have a value. */
export interface MetaFlags {
  /** The flags as they were given, in their order, which is also the order of the reply. */
  readonly words: readonly string[];
  key: string;
  /** `b`: the key was given in base64. */
  binaryKey: boolean;
  /** `q`: no reply if the outcome is the expected one. */
  quiet: boolean;
  /** `v`: reply with the value. */
  value: boolean;
  /** `u`: do not count this as a use. */
  noUse: boolean;
  /** `I`: mark as stale. */
  invalidate: boolean;
  /** `N`: create a missing item, with this expiry time. */
  vivify: number | undefined;
  /** `T`: the new expiry time. */
  exptime: number | undefined;
  /** `R`: a client whose item expires within this time is asked to recache it. */
  recache: number | undefined;
  /** `F` */
  clientFlags: number;
  /** `C`: the cas id to match. */
  cas: number | undefined;
  /** `M` */
  mode: string;
  /** `D` */
  delta: bigint;
  /** `J` */
  initial: bigint;
}

const BAD_FORMAT = 'CLIENT_ERROR bad command line format';
const BAD_TOKEN = 'CLIENT_ERROR bad token in command line format';

/** @returns The flags among the words from `start` on, or an error reply. */
export function parseMetaFlags(words: readonly string[], start: number): MetaFlags | string {
  const flags: MetaFlags = {
    words: words.slice(start),
    key: words[1] ?? '',
    binaryKey: false,
    quiet: false,
    value: false,
    noUse: false,
    invalidate: false,
    vivify: undefined,
    exptime: undefined,
    recache: undefined,
    clientFlags: 0,
    cas: undefined,
    mode: '',
    delta: 1n,
    initial: 0n,
  };
  let seen = '';
  let error: string | undefined;
  for (const word of flags.words) {
    const flag = word.charAt(0);
    if (flag >= '\x7f' || seen.includes(flag)) return 'CLIENT_ERROR duplicate flag';
    seen += flag;
    const problem = readFlag(flags, flag, word.slice(1));
    if (problem === 'CLIENT_ERROR invalid flag') return problem;
    // The error of a bad `F` is reported only if there is no other one.
    if (problem !== undefined && (problem !== BAD_FORMAT || error === undefined)) error = problem;
  }
  return error ?? flags;
}

function readFlag(flags: MetaFlags, flag: string, value: string): string | undefined {
  switch (flag) {
    case 'b':
      return readKey(flags);
    case 'N':
      flags.vivify = parseI32(value);
      return flags.vivify === undefined ? BAD_TOKEN : undefined;
    case 'T':
      flags.exptime = parseI32(value);
      return flags.exptime === undefined ? BAD_TOKEN : undefined;
    case 'R':
      flags.recache = parseI32(value);
      return flags.recache === undefined ? BAD_TOKEN : undefined;
    case 'F': {
      const clientFlags = parseU32(value);
      flags.clientFlags = clientFlags ?? 0;
      return clientFlags === undefined ? BAD_FORMAT : undefined;
    }
    case 'C': {
      const cas = parseU64(value);
      flags.cas = Number(cas ?? 0n);
      return cas === undefined ? BAD_TOKEN : undefined;
    }
    case 'M':
      flags.mode = value;
      return value.length === 1 ? undefined : 'CLIENT_ERROR incorrect length for M token';
    case 'J': {
      const initial = parseU64(value);
      flags.initial = initial ?? 0n;
      return initial === undefined ? 'CLIENT_ERROR invalid numeric initial value' : undefined;
    }
    case 'D': {
      const delta = parseU64(value);
      flags.delta = delta ?? 1n;
      return delta === undefined ? 'CLIENT_ERROR invalid numeric delta value' : undefined;
    }
    case 'q':
      flags.quiet = true;
      return undefined;
    case 'v':
      flags.value = true;
      return undefined;
    case 'u':
      flags.noUse = true;
      return undefined;
    case 'I':
      flags.invalidate = true;
      return undefined;
    default:
      return 'lOPLkstcfh'.includes(flag) ? undefined : 'CLIENT_ERROR invalid flag';
  }
}

function readKey(flags: MetaFlags): string | undefined {
  flags.binaryKey = true;
  const letters = flags.key.replace(/[^A-Za-z0-9+/=]/g, '');
  const valid = letters.length % 4 === 0 && /^[^=]+={0,2}$/.test(letters);
  flags.key = valid ? Buffer.from(letters, 'base64').toString('latin1') : '';
  return valid ? undefined : 'CLIENT_ERROR error decoding key';
}
