import { type Case, type Effort, jobFor } from './cases.ts';
import type { Sample } from './load/job.ts';
import type { Peer, Program } from './peers.ts';
import { LoadProcess } from './proc/load.ts';
import { type Running, startServer } from './proc/server.ts';

/** A peer that can run, with its program. */
export interface Runner {
  readonly peer: Peer;
  readonly program: Program;
}

/** The samples of a peer in a case: one a round, undefined where its measurement failed. */
export interface Result {
  readonly case: string;
  readonly peer: string;
  readonly samples: readonly (Sample | undefined)[];
}

/** One measurement of one server, with its outcome. */
export interface Measurement {
  readonly case: Case;
  readonly peer: Peer;
  /** In a round all servers are measured, one right after another. */
  readonly round: number;
  readonly outcome: Sample | Error;
}

/** A running server, and its load. */
interface Pair {
  readonly runner: Runner;
  readonly server: Running;
  readonly load: LoadProcess;
}

/**
 * Runs case after case. Within a case the servers are measured alternately, A B C A B C, for a fraction of a second each. So
 * a temporary disturbance of the machine affects neighbouring measurements alike. Between rounds all servers are restarted at
 * times, because otherwise a lucky or unlucky start of one process would affect every round.
 */
export async function* measurementsOf(
  cases: readonly Case[],
  runners: readonly Runner[],
  effort: Effort,
): AsyncGenerator<Measurement> {
  for (const entry of cases) {
    const able = runners.filter(({ peer }) => peer.modes.includes(entry.mode));
    for (let start = 0; start < effort.starts; start++) {
      const rounds = Math.min(effort.rounds, entry.maxRounds ?? effort.rounds);
      for (const some of entry.alone ? able.map((runner) => [runner]) : [able])
        yield* roundsOf(entry, some, effort, start, rounds);
    }
  }
}

async function* roundsOf(
  entry: Case,
  runners: readonly Runner[],
  effort: Effort,
  start: number,
  rounds: number,
): AsyncGenerator<Measurement> {
  const pairs = new Set<Pair>();
  const servers = new Set<Running>();
  const failed = ({ peer }: Runner, round: number, error: unknown): Measurement => {
    return { case: entry, peer, round, outcome: error instanceof Error ? error : new Error(String(error)) };
  };
  try {
    for (const runner of runners) {
      try {
        const server = await startServer(runner.program, entry.mode);
        servers.add(server);
        const { pid, port } = server;
        const load = await LoadProcess.start(jobFor(entry, effort, { protocol: runner.peer.protocol, port, pid }));
        pairs.add({ runner, server, load });
        if (rounds > 1) await load.measure(effort.warm * (entry.warmth ?? 1));
      } catch (error) {
        yield failed(runner, start * rounds, error);
        for (const pair of pairs) if (pair.runner === runner) pairs.delete(pair);
      }
    }
    for (let round = start * rounds; round < (start + 1) * rounds; round++) {
      for (const pair of pairs) {
        const { runner, load } = pair;
        try {
          yield { case: entry, peer: runner.peer, round, outcome: await load.measure(effort.duration) };
        } catch (error) {
          pairs.delete(pair);
          await load.stop();
          yield failed(runner, round, error);
        }
      }
    }
  } finally {
    for (const { load } of pairs) await load.stop();
    for (const server of servers) await server.stop();
  }
}

/** Groups measurements by case and peer, in the order of the first ones. */
export function gather(measurements: readonly Measurement[]): readonly Result[] {
  const results = new Map<string, { case: string; peer: string; samples: (Sample | undefined)[] }>();
  for (const { case: entry, peer, round, outcome } of measurements) {
    const key = `${entry.name} ${peer.name}`;
    const result = results.get(key) ?? { case: entry.name, peer: peer.name, samples: [] };
    result.samples[round] = outcome instanceof Error ? undefined : outcome;
    results.set(key, result);
  }
  return [...results.values()];
}
