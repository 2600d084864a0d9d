import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import type { Mode } from '../load/job.ts';
import type { Program } from '../peers.ts';
import { complaints, cores, spawnPinned } from './pinned.ts';

/** How long a server may take to listen, in milliseconds. */
const patience = 20_000;

/** A server that listens. */
export interface Running {
  readonly pid: number;
  readonly port: number;
  /** Ends it at once and waits until it is gone. */
  stop(): Promise<void>;
}

/** Starts a server on its core, on every address, and waits until it has said that it listens. */
export async function startServer(program: Program, mode: Mode): Promise<Running> {
  const { command: given, ready } = program;
  const port = typeof given === 'function' ? await freePort() : 0;
  const command = typeof given === 'function' ? given(port) : [...given, '--mode', mode, '--host', '0.0.0.0'];
  const child = await spawnPinned(cores.server, command);
  const said = complaints(child);
  const gone = once(child, 'close');
  const stop = async () => {
    child.kill('SIGKILL');
    await gone;
  };
  const { stdout, pid } = child;
  if (stdout === null || pid === undefined) throw new Error(`Cannot start ${command[0]}`);
  try {
    return { pid, port: await portOf(createInterface(stdout), gone, ready, port), stop };
  } catch (error) {
    await stop();
    throw new Error(`${error instanceof Error ? error.message : error}: ${command.join(' ')}\n${said()}`, {
      cause: error,
    });
  }
}

/** A port that nobody has at the moment. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Waits for the line that says where the server listens; or that it does, where it was given a `port`. */
async function portOf(
  lines: AsyncIterable<string>,
  gone: Promise<unknown>,
  ready = /^listening on .*:(\d+)$/,
  port = 0,
): Promise<number> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`The server does not listen after ${patience} ms`)), patience);
  });
  const ended = gone.then(() => {
    throw new Error('The server ended before it listened');
  });
  // Whichever loses the race below is nobody's news any more.
  ended.catch(() => undefined);
  const listening = (async () => {
    for await (const line of lines) {
      const found = ready.exec(line);
      if (found !== null) return port || Number(found[1]);
    }
    return ended;
  })();
  try {
    return await Promise.race([listening, late, ended]);
  } finally {
    clearTimeout(timer);
  }
}
