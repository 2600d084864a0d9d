import { addresses, Clients } from './clients.ts';
import { atLeast, latency, type Row, told } from './row.ts';
import { Server } from './server.ts';

const GREEDY = 10_000;

/** One address opens 10 000 connections to a server with its defaults, and keeps those that it gets. Another address opens one. */
export const greedyPeer: Row = {
  name: 'greedy peer',
  without: 'perAddress: { connections: Infinity }',
  async measure({ quick, node }, isControl) {
    const options = isControl ? { perAddress: { connections: Number.POSITIVE_INFINITY } } : {};
    const visits = isControl ? 2 : quick ? 20 : 100;
    const server = await Server.start({ options }, { node: node.path });
    const greedy = await Clients.start(server.port, {
      manner: 'hold',
      count: GREEDY,
      from: addresses('127.0.0', 2, 1),
      yields: true,
    });
    const other = await Clients.start(server.port, {
      manner: 'repeat',
      count: 1,
      times: visits,
      patience: 2000,
      server: server.pid,
      from: addresses('127.0.1', 1, 1),
    });
    await greedy.begin();
    const { accepted } = await server.until((answer) => answer.accepted >= GREEDY, 30_000);
    await other.begin();
    const isOver = ({ begun, there }: { begun: number; there: number }) => begun === visits && there === 0;
    const { served, times, net, delay } = await other.until(isOver, 30_000);
    const { active, waiting, refused } = await server.ask();
    await Promise.all([greedy.stop(), other.stop(), server.stop()]);
    return [
      atLeast('connections that were opened', accepted, GREEDY, ''),
      atLeast(
        `visits of another peer, one by one, that are served (control: of 2)`,
        served,
        isControl ? 2 : visits,
        '',
      ),
      ...latency('from the SYN to the reply', 'max', times, net, 50),
      told('served, waiting, refused', `${active}, ${waiting}, ${refused}`),
      told('stalls of the other peer itself, longest', delay.max, 'ms'),
    ];
  },
};
