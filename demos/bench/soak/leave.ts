import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { atMost, dial, type Finding, type Soak } from './measure.ts';

const program = fileURLToPath(new URL('leaveServer.ts', import.meta.url));

type Farewell = 'FIN' | 'RST';

async function ask<T>(child: ChildProcess, asks: 'look' | 'tell'): Promise<T> {
  const answer = once(child, 'message');
  child.send(asks);
  return (await answer)[0] as T;
}

/** Has so many clients leave while the server is stopped, so that it finds them all at once. @returns Its longest iteration, in ms of the processor. */
async function leave(kind: 'sluice' | 'node:net', count: number, farewell: Farewell): Promise<number> {
  const child = fork(program, [kind], {
    execArgv: ['--import', 'tsx'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const [{ port }] = (await once(child, 'message')) as [{ port: number }];
  const clients: Socket[] = [];
  while (clients.length < count) clients.push(...(await Promise.all(Array.from({ length: 250 }, () => dial(port)))));
  for (const client of clients) client.write('ping\n');
  await Promise.all(clients.map((client) => once(client, 'data')));
  await ask(child, 'look');
  child.kill('SIGSTOP');
  await pause(20);
  for (const client of clients) {
    if (farewell === 'FIN') client.end();
    else client.resetAndDestroy();
  }
  await pause(200);
  child.kill('SIGCONT');
  let seen = { left: 0, longest: 0 };
  for (const end = performance.now() + 60_000; seen.left < count; ) {
    if (performance.now() > end) throw new Error(`only ${seen.left} of ${count} have left`);
    await pause(50);
    seen = await ask(child, 'tell');
  }
  for (const client of clients) client.destroy();
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
  return seen.longest;
}

/** Many leave in the same moment: the event loop stands still for no longer than that of node:net does, in turns with it. */
export const leaveTogether: Soak = {
  name: 'leave together',
  async run({ quick }): Promise<Finding[]> {
    const count = quick ? 1000 : 8000;
    const rounds = quick ? 3 : 5;
    const findings: Finding[] = [];
    for (const farewell of ['FIN', 'RST'] as const) {
      const ours: number[] = [];
      const theirs: number[] = [];
      for (let round = 0; round < rounds; round++) {
        ours.push(await leave('sluice', count, farewell));
        theirs.push(await leave('node:net', count, farewell));
      }
      // The best of each, and a quarter for noise: of a RST, what is left in that iteration is work of Node's in both.
      const bar = Math.min(...theirs);
      const what = `${count} with a ${farewell}: the longest iteration (node:net: ${bar.toFixed(0)} ms)`;
      findings.push(atMost(what, Math.min(...ours), bar * 1.25, 'ms'));
    }
    return findings;
  },
};
