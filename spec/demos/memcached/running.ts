import { type Demo, type DemoResult, spawnDemo } from '../../support/spawnDemo.ts';
import { endProxies, frontOf } from '../../support/throughProxy.ts';

/** The demo in a process of its own. */
export interface Running {
  /** Its TCP port; 0 if it has none. */
  readonly port: number;
  /** The addresses that it has logged as listening. */
  readonly where: readonly string[];
  readonly demo: Demo;
  /** Ends it with SIGTERM, unless it has ended. @returns How it ended, and what it printed. */
  stop(): Promise<DemoResult>;
}

const running = new Set<Demo>();

/** Starts the demo on any free port of the loopback interface, and waits until it listens on so many addresses. */
export async function start(args: readonly string[] = [], addresses = 1): Promise<Running> {
  const own = args.includes('-l') || args.includes('-s') ? [] : ['--host', '127.0.0.1', '--port', '0'];
  const demo = spawnDemo('memcached/server', [...own, ...args]);
  running.add(demo);
  void demo.done.then(() => running.delete(demo));
  const where = await new Promise<string[]>((resolve, reject) => {
    let output = '';
    demo.process.stdout?.on('data', (text: string) => {
      output += text;
      const found = [...output.matchAll(/listening on ([^\s"]+)/g)].map(([, at = '']) => at);
      if (found.length >= addresses) resolve(found);
    });
    void demo.done.then(({ code, stderr }) => reject(new Error(`it ended (${code}): ${stderr}`)));
  });
  return {
    port: await frontOf(Number(/:(\d+)$/.exec(where[0] ?? '')?.[1] ?? 0)),
    where,
    demo,
    stop: () => {
      demo.process.kill('SIGTERM');
      return demo.done;
    },
  };
}

/** For `afterAll`: kills all that are still running. */
export async function stopAll(): Promise<void> {
  for (const { process } of running) process.kill('SIGKILL');
  endProxies();
  await Promise.all([...running].map(({ done }) => done));
}
