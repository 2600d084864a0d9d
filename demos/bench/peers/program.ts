import type { AddressInfo, Server, Socket } from 'node:net';
import { parseArgs } from 'node:util';
import type { Mode } from '../load/job.ts';

/** The command line of a server of the bench. */
export interface Arguments {
  readonly mode: Mode;
  /** Address to listen on. @default '127.0.0.1' */
  readonly host: string;
  /** @default 0, which means any free port */
  readonly port: number;
}

/** The connection limit of a server that has one: more than any case opens. */
export const limit = 20_000;
/** The idle deadline of a server that has one, in milliseconds: longer than any case keeps a connection silent. */
export const silence = 120_000;
/** Connections that the kernel may queue until the server accepts them. */
export const backlog = 4096;
/** The output of a source, repeated: bytes 0 to 255, 64 KiB long. */
export const pattern = Buffer.from(Uint8Array.from({ length: 64 * 1024 }, (_, index) => index & 255));

export function readArguments(): Arguments {
  const { values } = parseArgs({
    options: { mode: { type: 'string' }, host: { type: 'string' }, port: { type: 'string' } },
  });
  const { mode, host = '127.0.0.1', port = '0' } = values;
  if (mode === undefined) throw new TypeError('Cannot start: --mode is missing');
  return { mode: mode as Mode, host, port: Number(port) };
}

/** Listens, and prints the address, as every server of the bench does. */
export function start(server: Server, { host, port }: Arguments): void {
  server.listen({ host, port, backlog }, () => announce(server));
}

/** Prints the address of a server that listens. */
export function announce(server: Server): void {
  const { address, port } = server.address() as AddressInfo;
  console.log(`listening on ${address}:${port}`);
}

/** The certificate of a server over TLS and its key, in PEM, which the bench passes in the environment. */
export function readCertificate(): { readonly cert: string; readonly key: string } {
  const { BENCH_CERT: cert, BENCH_KEY: key } = process.env;
  if (cert === undefined || key === undefined) throw new TypeError('Cannot start: BENCH_CERT or BENCH_KEY is missing');
  return { cert, key };
}

/** Reads no more until everything that was written has left. */
export function waitForDrain(socket: Socket): void {
  socket.pause();
  socket.once('drain', () => socket.resume());
}

/** The handler of a server for this mode. */
export function pick<T>(handlers: Partial<Record<Mode, T>>, mode: Mode): T {
  const handler = handlers[mode];
  if (handler === undefined) throw new TypeError(`Cannot start: there is no mode "${mode}" here`);
  return handler;
}

/** A number in eight bytes, big endian: the reply of a `discard`, and the request to a `source`. */
export function count64(count: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64BE(BigInt(count));
  return bytes;
}
