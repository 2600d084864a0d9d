/** Many clients, in a process of their own. They answer the questions of its parent. */
import { constants, setPriority } from 'node:os';
import type { ClientJob, ClientQuestion, ClientReport, Manner } from './clients.ts';
import { decode } from './program.ts';
import { type ClientOwner, type Ending, RawClient } from './rawClient.ts';
import { Stalls } from './stalls.ts';
import { epoch, recordWaits, waited } from './waits.ts';

const never = Number.POSITIVE_INFINITY;
const job = decode<ClientJob & { port: number }>(process.argv[2]);
const { port, from, count = never, every = never, perSecond = 0, patience = never } = job;
const { times: repeats = never, again = never, atOnce = 100 } = job;

const counts = { begun: 0, served: 0, refused: 0, reset: 0, failed: 0, gaveUp: 0, lost: 0 };
let times: number[] = [];
let net: number[] = [];
let closes: number[] = [];
const errors: Record<string, number> = {};
const stalls = new Stalls();
const waits = job.recordsWaits ? recordWaits() : [];
let begunAt = 0;
let isStopped = false;

/** Milliseconds between two looks at clients that send now and then, or whose patience may be over. */
const TICK = 20;

const endings: Record<Ending, 'refused' | 'reset' | 'failed'> = { fin: 'refused', reset: 'reset', failed: 'failed' };

function lose(how: Ending, code: string | undefined): void {
  counts[endings[how]]++;
  if (how === 'failed') errors[code ?? ''] = (errors[code ?? ''] ?? 0) + 1;
}

/** All clients that are connected or connecting, in the order of their SYNs, and what is to be called when they give up. */
const there = new Map<RawClient, (() => void) | undefined>();

function dial(owner: ClientOwner, gaveUp?: () => void): RawClient {
  const client = new RawClient(port, from[counts.begun % from.length] as string, owner);
  counts.begun++;
  there.set(client, gaveUp);
  return client;
}

/** One request, one reply. @param over Called when the connection is closed, whatever the outcome. */
function visit(over: () => void): RawClient {
  const before = job.server === undefined ? 0 : waited(job.server);
  const owner: ClientOwner = {
    opened: (client) => client.send('ping\n'),
    received(client, isLine) {
      if (!isLine) return;
      const time = performance.now() - client.since;
      times.push(time);
      if (job.server !== undefined) net.push(time - (waited(job.server) - before));
      counts.served++;
      client.close();
      there.delete(client);
      over();
    },
    ended(client, how, code) {
      lose(how, code);
      there.delete(client);
      over();
    },
  };
  return dial(owner, over);
}

/** Ends the visits of those that have waited for too long. The oldest ones are first. */
function giveUp(): void {
  const now = performance.now();
  for (const [client, over] of there) {
    if (client.since + patience > now) break;
    client.close();
    there.delete(client);
    counts.gaveUp++;
    over?.();
  }
}

function arrive(): void {
  const begin = () => {
    const due = Math.min(count, ((performance.now() - begunAt) * perSecond) / 1000);
    while (counts.begun < due) visit(() => undefined);
    if (!isStopped && counts.begun < count) setTimeout(begin, 1);
  };
  if (patience !== never) setInterval(giveUp, TICK);
  begin();
}

function repeat(): void {
  const begin = (left: number) => {
    if (left === 0 || isStopped) return;
    // Not within the call: clients of a server that refuses at once would never return to the event loop.
    visit(() => setImmediate(begin, left - 1));
  };
  if (patience !== never) setInterval(giveUp, TICK);
  for (let i = 0; i < count; i++) begin(repeats);
}

/** Keeps `count` clients that stay, a limited number of which may be connecting at a time. */
function stay(begin: (connected: () => void) => void): void {
  let left = count;
  const next = () => {
    if (left-- > 0 && !isStopped) begin(next);
  };
  for (let i = 0; i < atOnce; i++) next();
}

/** Those that are to send something, with the time at which they last did. */
const paced = new Map<RawClient, number>();

function pace(text: string, sent: (client: RawClient, now: number) => void = () => undefined): void {
  setInterval(() => {
    const now = performance.now();
    for (const [client, last] of paced) {
      if (last + every > now) break;
      paced.delete(client);
      if (client.isClosed) continue;
      paced.set(client, now);
      client.send(text);
      sent(client, now);
    }
  }, TICK);
}

function drip(): void {
  pace('x');
  const connect = (connected: () => void) => {
    let isFirst = true;
    const once = () => {
      if (isFirst) connected();
      isFirst = false;
    };
    dial({
      opened(client) {
        once();
        client.send('x');
        paced.set(client, performance.now());
      },
      received: () => undefined,
      ended(client, how, code) {
        lose(how, code);
        there.delete(client);
        paced.delete(client);
        once();
        if (!isStopped) setImmediate(connect, () => undefined);
      },
    });
  };
  stay(connect);
}

/** The held clients that have a reply, with the time of the request that is not answered, if there is one. */
const held = new Map<RawClient, number>();

function hold(): void {
  if (every !== never) pace('ping\n', (client, now) => held.get(client) || held.set(client, now));
  const connect = (connected: () => void) => {
    dial({
      opened(client) {
        connected();
        client.send('ping\n');
      },
      received(client, isLine) {
        if (!isLine) return;
        const now = performance.now();
        const since = held.get(client);
        if (since === undefined) {
          counts.served++;
          times.push(now - client.since);
          if (every !== never) paced.set(client, now);
        } else if (since > 0) times.push(now - since);
        held.set(client, 0);
      },
      ended(client, how, code) {
        there.delete(client);
        paced.delete(client);
        if (how === 'failed') connected();
        if (held.delete(client)) {
          counts.lost++;
          closes.push(epoch());
        } else {
          lose(how, code);
          if (again !== never) setTimeout(() => isStopped || connect(() => undefined), again);
        }
      },
    });
  };
  stay(connect);
}

/** Closes some of those that are held and were served. */
function leave(some: number): void {
  let left = some;
  for (const client of held.keys()) {
    if (left-- <= 0) return;
    client.close();
    held.delete(client);
    there.delete(client);
  }
}

/** @param takes Whether the times are taken, and begin anew. */
function report(takes: boolean): ClientReport {
  const figures = { ...counts, there: there.size, errors, waits };
  if (!takes) return { ...figures, times: [], net: [], closes: [], delay: { p99: 0, max: 0 } };
  const taken = { ...figures, times, net, closes, delay: stalls.take() };
  times = [];
  net = [];
  closes = [];
  return taken;
}

const manners: Record<Manner, () => void> = { drip, hold, arrive, repeat };

process.on('message', (question: ClientQuestion & { id: number }) => {
  if (question.ask === 'begin') {
    begunAt = performance.now();
    stalls.take();
    setImmediate(manners[job.manner]);
  } else if (question.ask === 'stop') isStopped = true;
  else if (question.ask === 'leave') leave(question.count);
  process.send?.({ id: question.id, ...report(question.ask === 'report') });
});
process.on('disconnect', () => process.exit());

if (job.yields) setPriority(constants.priority.PRIORITY_LOW);
process.send?.('ready');
