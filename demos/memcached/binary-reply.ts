import { Status } from './opcodes.ts';
import { blocks, latin1, type Reply } from './reply.ts';
import type { BinaryRequest } from './requests.ts';

const RESPONSE_MAGIC = 0x81;
const NOTHING = new Uint8Array(0);

/** The content of a reply beside its status. */
export interface Body {
  /** @default 0 */
  cas?: number;
  /** Four bytes of flags. @default none */
  flags?: number | undefined;
  /** @default '' */
  key?: string;
  /** @default empty */
  value?: Uint8Array;
}

const TEXTS: ReadonlyMap<number, string> = new Map<number, string>([
  [Status.notFound, 'Not found'],
  [Status.exists, 'Data exists for key.'],
  [Status.tooLarge, 'Too large.'],
  [Status.invalid, 'Invalid arguments'],
  [Status.notStored, 'Not stored.'],
  [Status.nonNumeric, 'Non-numeric server-side value for incr or decr'],
  [Status.auth, 'Auth failure.'],
  [Status.unknown, 'Unknown command'],
  [Status.noMemory, 'Out of memory'],
]);

/** Encodes a reply. It repeats the opcode and the opaque number of the request. */
export function packet(request: BinaryRequest, body: Body = {}, status: number = Status.ok): Reply {
  const { cas = 0, flags, key = '', value = NOTHING } = body;
  const extras = flags === undefined ? 0 : 4;
  const header = Buffer.alloc(24 + extras);
  header[0] = RESPONSE_MAGIC;
  header[1] = request.opcode;
  header.writeUInt16BE(key.length, 2);
  header[4] = extras;
  header.writeUInt16BE(status, 6);
  header.writeUInt32BE(extras + key.length + value.length, 8);
  header.writeUInt32BE(request.opaque, 12);
  header.writeBigUInt64BE(BigInt(cas), 16);
  if (flags !== undefined) header.writeUInt32BE(flags, 24);
  return blocks([{ head: header.toString('latin1') + key, data: value }], '');
}

/** An error reply: a status, and its text. */
export function refusal(request: BinaryRequest, status: number): Reply {
  return packet(request, { value: latin1(TEXTS.get(status) ?? 'Unknown error') }, status);
}
