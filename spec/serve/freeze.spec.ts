// Real time, and a process that is stopped with SIGSTOP: about twenty seconds, most of which the spec waits.
import { afterEach, expect, it } from 'vitest';
import { type Client, clients, closeClients } from '../support/client.ts';
import { endPrograms, Program } from '../support/program.ts';

// About ten times the interval at which the clients send, because the clients are slow as well on a slow machine.
const IDLE = 6000;
const FREEZE = 9000;
const SENDS_EVERY = 500;
const ACTIVE = 1000;

const timers: NodeJS.Timeout[] = [];
afterEach(() => {
  for (const timer of timers.splice(0)) clearInterval(timer);
  closeClients();
  endPrograms();
});

const sleep = (ms: number) => new Promise((resolve) => timers.push(setTimeout(resolve, ms)));

it('after 9 s of SIGSTOP an idle deadline of 6 s closes the silent connection, and none that sends every 0.5 s', async () => {
  const server = new Program('server', { options: { concurrency: 2000, idle: IDLE, greeting: 60_000, linger: 100 } });
  const port = await server.whenListening();
  const active = clients(ACTIVE, port);
  const [silent] = clients(1, port) as [Client];
  await server.whenEmitted('opened', ACTIVE + 1);
  const send = () => {
    for (const one of active) one.write('still here\n');
  };
  send();
  timers.push(setInterval(send, SENDS_EVERY));
  await Promise.all(active.map((one) => one.whenRead('still here\n')));

  server.kill('SIGSTOP');
  await sleep(FREEZE);
  const before = active.map(({ received }) => received);
  server.kill('SIGCONT');
  await silent.whenClosed();
  await Promise.all(
    active.map((one, index) => one.until(({ received }) => received > (before[index] ?? 0), 'an answer')),
  );
  await server.whenEmitted('closed');
  expect(active.filter(({ closed, ended }) => closed || ended)).toHaveLength(0);
  expect(server.of('closed')).toMatchObject([{ id: ACTIVE + 1, reason: 'deadline', deadline: 'idle' }]);
});
