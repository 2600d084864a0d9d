import type { NodeProgram } from '../proc/node.ts';
import { addresses, Clients } from './clients.ts';
import { atLeast, atMost, exactly, type Finding, type Row, told } from './row.ts';
import { Server } from './server.ts';

const LIMIT = 100;
const CLIENTS = 2000;
/** A small waiting room: the port stops and goes on each time that some clients have left. */
const WAITING = 4;

/**
 * 2000 clients at a time for 100 places. Each sends a line, has its reply after 20 to 100 ms, closes, and comes again. They wait in the queue of
 * the kernel while the port does not accept. The full form does so on each release of Node.
 */
export const park: Row = {
  name: 'park',
  without: "overflow: 'refuse'",
  async measure({ quick, node, releases }, isControl) {
    const findings: Finding[] = [];
    for (const one of quick ? [node] : await releases()) {
      findings.push(...(await measure(one, quick ? 500 : 4000, isControl)));
    }
    return findings;
  },
};

async function measure(node: NodeProgram, cycles: number, isControl: boolean): Promise<Finding[]> {
  const options = {
    concurrency: LIMIT,
    waiting: { max: WAITING, timeout: Number.POSITIVE_INFINITY },
    overflow: isControl ? 'refuse' : 'park',
  };
  const server = await Server.start({ options, work: 20, more: 80 }, { node: node.path });
  const from = addresses('127.0.2', 1, 100);
  const clients = await Clients.start(server.port, { manner: 'repeat', count: CLIENTS, from });
  const begun = performance.now();
  await clients.begin();
  // The control never pauses.
  await server.until(({ pauses }) => pauses >= cycles, isControl ? 2000 : 60_000);
  await clients.end();
  const report = await clients.until(({ there }) => there === 0, 60_000);
  const seconds = (performance.now() - begun) / 1000;
  const { most, pauses, waiting, active } = await server.ask();
  await Promise.all([clients.stop(), server.stop()]);
  const name = `Node ${node.version}: `;
  return [
    exactly(`${name}visits that are not served`, report.begun - report.served, 0),
    exactly(`${name}resets`, report.reset, 0),
    exactly(
      `${name}refused by a FIN, failed connects, and left behind`,
      [report.refused, report.failed, waiting + active],
      [0, 0, 0],
    ),
    atMost(`${name}connections that are served at a time`, most, LIMIT, ''),
    atLeast(`${name}pauses of the port`, pauses, cycles, ''),
    told(`${name}visits that are served`, report.served, ''),
    told(`${name}it took`, seconds, 's'),
  ];
}
