/** Sluice, with all protections of `serve` at their defaults, except a limit that is high enough for the idle case. */
import { map, reduce, share, take } from 'rxjs';
import {
  encodeLengthPrefixed,
  encodeLine,
  exchange,
  type Handler,
  inPlace,
  lengthPrefixed,
  lines,
  serve,
} from '../../../lib/index.ts';
import type { BytesMode } from '../load/job.ts';
import { count64, limit, pattern, pick, readArguments, readCertificate } from './program.ts';

const handlers: Record<BytesMode | 'tls', Handler> = {
  echo: (connection) => connection,

  tls: (connection) => connection,

  lines: (connection) => connection.pipe(lines(), map(encodeLine)),

  once: (connection) => connection.pipe(lines(), take(1), map(encodeLine)),

  async: exchange(lines(), async (line) => encodeLine(line)),

  'length-prefixed': (connection) => connection.pipe(lengthPrefixed(), map(encodeLengthPrefixed())),

  discard: (connection) =>
    connection.pipe(
      inPlace((chunk) => chunk.length),
      reduce((sum, length) => sum + length, 0),
      map(count64),
    ),

  source: exchange(
    (requests) => requests,
    (request) => blocks(Number(Buffer.from(request).readBigUInt64BE())),
  ),
};

/** The pattern, repeated up to `bytes`. It is pulled block by block, whenever there is room for one. */
function* blocks(bytes: number): Iterable<Uint8Array> {
  for (let left = bytes; left > 0; left -= pattern.length)
    yield left < pattern.length ? pattern.subarray(0, left) : pattern;
}

const { mode, host, port } = readArguments();
const tls = mode === 'tls' ? { tls: readCertificate() } : {};
// Loaded only where it is measured.
const operated = process.env.SLUICE_OPERATED === '1' ? await import('./operated.ts') : undefined;
const handler = pick(handlers, mode);
const options = { concurrency: limit, perAddress: { connections: limit }, ...tls, ...operated?.options };
const server = serve({ host, port }, operated ? operated.traced(handler) : handler, options);
const events = operated ? server.pipe(share()) : server;
operated?.operate(events);
events.subscribe((event) => {
  if (event.type === 'listening') console.log(`listening on ${event.address.address}:${event.address.port}`);
});
