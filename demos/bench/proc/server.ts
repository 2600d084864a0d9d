import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { createInterface, type Interface } from 'node:readline';
import { type SelfSigned, selfSigned } from '../../support/selfSigned.ts';
import type { Mode } from '../load/job.ts';
import type { Program } from '../peers.ts';
import { cores, errorOutput, spawnPinned } from './pinned.ts';

/** Time that a server has to listen, in milliseconds. */
const patience = 20_000;

/** What the bench's own servers print when they listen, and what one with an admin port prints besides. */
const LISTENING = /^listening on .*:(\d+)$/;
const ADMIN = /^admin (.*)$/;

/** A server process that listens. */
export interface Running {
  readonly pid: number;
  readonly port: number;
  /** Kills the process, and waits for its end. */
  stop(): Promise<void>;
}

/** Starts a server on its core, listening on all addresses, and waits until it has printed that it listens. */
export async function startServer(program: Program, mode: Mode): Promise<Running> {
  const { command: given, ready = LISTENING, env, watch } = program;
  const port = typeof given === 'function' ? await freePort() : 0;
  const command = typeof given === 'function' ? given(port) : [...given, '--mode', mode, '--host', '0.0.0.0'];
  const child = await spawnPinned(cores.server, command, {
    env: { ...env, ...(mode === 'tls' && (await certificate())) },
  });
  const errors = errorOutput(child);
  const closed = once(child, 'close');
  const stop = async () => {
    child.kill('SIGKILL');
    await closed;
  };
  const { stdout, pid } = child;
  if (stdout === null || pid === undefined) throw new Error(`Cannot start ${command[0]}`);
  try {
    const lines = createInterface(stdout);
    const found = [lineOf(lines, ready), ...(watch ? [lineOf(lines, ADMIN)] : [])];
    const [listening, page] = await inTime(Promise.all(found), closed);
    const watched = await watch?.(page?.[1] ?? '');
    const stopBoth = async () => {
      await watched?.stop();
      await stop();
    };
    return { pid, port: port || Number(listening?.[1]), stop: watched ? stopBoth : stop };
  } catch (error) {
    await stop();
    throw new Error(`${error instanceof Error ? error.message : error}: ${command.join(' ')}\n${errors()}`, {
      cause: error,
    });
  }
}

/** The certificate of all servers over TLS, ECDSA with the curve P-256, in the environment variables that they read. */
async function certificate(): Promise<Readonly<Record<string, string>>> {
  issued ??= selfSigned(['localhost']);
  const { cert, key } = await issued;
  return { BENCH_CERT: cert, BENCH_KEY: key };
}

let issued: Promise<SelfSigned> | undefined;

/** A port that is free at present. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** The first line that matches. */
const lineOf = (lines: Interface, pattern: RegExp) =>
  new Promise<RegExpExecArray>((resolve) => {
    lines.on('line', (line) => {
      const found = pattern.exec(line);
      if (found !== null) resolve(found);
    });
  });

/** Waits for what a server prints when it listens. */
async function inTime<T>(printed: Promise<T>, closed: Promise<unknown>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`The server does not listen after ${patience} ms`)), patience);
  });
  const ended = closed.then(() => {
    throw new Error('The server ended before it listened');
  });
  // Handled here, because it may lose the race below and be rejected later.
  ended.catch(() => undefined);
  try {
    return await Promise.race([printed, late, ended]);
  } finally {
    clearTimeout(timer);
  }
}
