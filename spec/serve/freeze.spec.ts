// Real time, and a process that is stopped: about twenty seconds, nearly all of them waiting.
import { afterEach, expect, it } from 'vitest';
import { type Client, clients, closeClients } from '../support/client.ts';
import { endPrograms, Program } from '../support/program.ts';

// Ten times what the clients take: they are slow as well on a slow machine.
const IDLE = 6000;
const FREEZE = 9000;
const SPEAKS_EVERY = 500;
const TALKATIVE = 1000;

const timers: NodeJS.Timeout[] = [];
afterEach(() => {
  for (const timer of timers.splice(0)) clearInterval(timer);
  closeClients();
  endPrograms();
});

const sleep = (ms: number) => new Promise((resolve) => timers.push(setTimeout(resolve, ms)));

it('a freeze of 9 s closes no connection that sends every 0.5 s at an idle deadline of 6 s, and closes one that is silent', async () => {
  const server = new Program('server', { options: { concurrency: 2000, idle: IDLE, greeting: 60_000, linger: 100 } });
  const port = await server.whenListening();
  const talkative = clients(TALKATIVE, port);
  const [silent] = clients(1, port) as [Client];
  await server.whenSaid('opened', TALKATIVE + 1);
  const speak = () => {
    for (const one of talkative) one.write('still here\n');
  };
  speak();
  timers.push(setInterval(speak, SPEAKS_EVERY));
  await Promise.all(talkative.map((one) => one.whenRead('still here\n')));

  server.kill('SIGSTOP');
  await sleep(FREEZE);
  const before = talkative.map(({ received }) => received);
  server.kill('SIGCONT');
  await silent.whenClosed();
  await Promise.all(
    talkative.map((one, index) => one.until(({ received }) => received > (before[index] ?? 0), 'an answer')),
  );
  await server.whenSaid('closed');
  expect(talkative.filter(({ closed, ended }) => closed || ended)).toHaveLength(0);
  expect(server.of('closed')).toMatchObject([{ id: TALKATIVE + 1, reason: 'deadline', deadline: 'idle' }]);
});
