import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Case } from './cases.ts';
import type { Peer } from './peers.ts';
import type { NodeProgram } from './proc/node.ts';
import type { Measurement } from './rounds.ts';

/** The case without a server: a value that passes a deadline operator. */
export const valueCase: Case = {
  name: 'value',
  title: 'A value that passes a deadline, no socket',
  unit: 'ns CPU / value',
  kind: 'idle',
  mode: 'echo',
  connections: 0,
  inFlight: 0,
  closing: 'client',
};

const peer = (name: string, title: string): Peer => ({
  name,
  title,
  modes: [],
  protocol: 'plain',
  build: async () => ({ missing: 'it is not a server' }),
});

/** The two operators that are compared. */
export const valuePeers: readonly Peer[] = [peer('idle', 'Sluice, idle'), peer('timeout', 'RxJS, timeout({ each })')];

const run = promisify(execFile);

/** Alternating measurements of both operators, each in a process of its own, on this `node`. */
export async function* valueMeasurements(rounds: number, node: NodeProgram): AsyncGenerator<Measurement> {
  const program = fileURLToPath(new URL('dist/demos/bench/value.js', import.meta.url));
  for (let round = 0; round < rounds; round++) {
    for (const peer of valuePeers) {
      const { stdout } = await run(node.path, [program, peer.name]);
      yield { case: valueCase, peer, round, outcome: { figure: Number(stdout), count: 1_000_000 } };
    }
  }
}
