import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { atMost, dial, type Finding, type Soak } from './measure.ts';

const program = fileURLToPath(new URL('leaveServer.ts', import.meta.url));

type Ending = 'FIN' | 'RST';

async function ask<T>(child: ChildProcess, question: 'start' | 'report'): Promise<T> {
  const answer = once(child, 'message');
  child.send(question);
  return (await answer)[0] as T;
}

/**
 * Ends all clients while the server is stopped, so that it finds all of the ends at once when it continues.
 *
 * @returns The processor time of its longest event-loop iteration, in milliseconds.
 */
async function leave(kind: 'sluice' | 'node:net', count: number, ending: Ending): Promise<number> {
  const child = fork(program, [kind], {
    execArgv: ['--import', 'tsx'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const [{ port }] = (await once(child, 'message')) as [{ port: number }];
  const clients: Socket[] = [];
  while (clients.length < count) clients.push(...(await Promise.all(Array.from({ length: 250 }, () => dial(port)))));
  for (const client of clients) client.write('ping\n');
  await Promise.all(clients.map((client) => once(client, 'data')));
  await ask(child, 'start');
  child.kill('SIGSTOP');
  await pause(20);
  for (const client of clients) {
    if (ending === 'FIN') client.end();
    else client.resetAndDestroy();
  }
  await pause(200);
  child.kill('SIGCONT');
  let seen = { left: 0, longest: 0 };
  for (const end = performance.now() + 60_000; seen.left < count; ) {
    if (performance.now() > end) throw new Error(`only ${seen.left} of ${count} have left`);
    await pause(50);
    seen = await ask(child, 'report');
  }
  for (const client of clients) client.destroy();
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
  return seen.longest;
}

/** Many clients leave at the same moment: the event loop is blocked no longer than that of node:net, measured alternately. */
export const leaveTogether: Soak = {
  name: 'leave together',
  async run({ quick }): Promise<Finding[]> {
    const count = quick ? 1000 : 8000;
    const rounds = quick ? 3 : 5;
    const findings: Finding[] = [];
    for (const ending of ['FIN', 'RST'] as const) {
      const ours: number[] = [];
      const theirs: number[] = [];
      for (let round = 0; round < rounds; round++) {
        ours.push(await leave('sluice', count, ending));
        theirs.push(await leave('node:net', count, ending));
      }
      // The best of each, plus a quarter for noise. After a RST the rest of the iteration is Node's own work in both servers.
      const bar = Math.min(...theirs);
      const what = `${count} with a ${ending}: the longest iteration (node:net: ${bar.toFixed(0)} ms)`;
      findings.push(atMost(what, Math.min(...ours), bar * 1.25, 'ms'));
    }
    return findings;
  },
};
