import { once } from 'node:events';
import { createInterface } from 'node:readline';
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

/** Starts a server on its core and waits until it has said where it listens. */
export async function startServer(command: readonly string[]): Promise<Running> {
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
    return { pid, port: await portOf(createInterface(stdout), gone), stop };
  } catch (error) {
    await stop();
    throw new Error(`${error instanceof Error ? error.message : error}: ${command.join(' ')}\n${said()}`, {
      cause: error,
    });
  }
}

async function portOf(lines: AsyncIterable<string>, gone: Promise<unknown>): Promise<number> {
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
      const found = /^listening on .*:(\d+)$/.exec(line);
      if (found !== null) return Number(found[1]);
    }
    return ended;
  })();
  try {
    return await Promise.race([listening, late, ended]);
  } finally {
    clearTimeout(timer);
  }
}
