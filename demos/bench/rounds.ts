import { type Case, type Effort, jobFor } from './cases.ts';
import type { Sample } from './load/job.ts';
import type { Peer, Program } from './peers.ts';
import { runLoad } from './proc/load.ts';
import { startServer } from './proc/server.ts';

/** A peer that is there, with the program to start. */
export interface Runner {
  readonly peer: Peer;
  readonly program: Program;
}

/** What a peer has shown in a case: one sample a round, undefined where its turn failed. */
export interface Result {
  readonly case: string;
  readonly peer: string;
  readonly samples: readonly (Sample | undefined)[];
}

/** One turn of one server, as it ends. */
export interface Turn {
  readonly case: Case;
  readonly peer: Peer;
  readonly round: number;
  readonly outcome: Sample | Error;
}

/**
 * Case after case; within a case the servers in turn, A B C A B C. Each turn is a fresh process: warm-up is
 * part of it, and a lucky or unlucky start of one process cannot colour every round.
 */
export async function* turnsOf(
  cases: readonly Case[],
  runners: readonly Runner[],
  effort: Effort,
): AsyncGenerator<Turn> {
  for (const entry of cases) {
    const able = runners.filter(({ peer }) => peer.modes.includes(entry.mode));
    for (let round = 0; round < effort.rounds; round++) {
      for (const runner of able) {
        yield { case: entry, peer: runner.peer, round, outcome: await turn(entry, runner, effort) };
      }
    }
  }
}

async function turn(entry: Case, { peer, program }: Runner, effort: Effort): Promise<Sample | Error> {
  try {
    const server = await startServer(program, entry.mode);
    try {
      const { pid, port } = server;
      return await runLoad(jobFor(entry, effort, { protocol: peer.protocol, port, pid }));
    } finally {
      await server.stop();
    }
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Gathers turns by case and peer, in the order in which they were first seen. */
export function gather(turns: readonly Turn[]): readonly Result[] {
  const results = new Map<string, { case: string; peer: string; samples: (Sample | undefined)[] }>();
  for (const { case: entry, peer, round, outcome } of turns) {
    const key = `${entry.name} ${peer.name}`;
    const result = results.get(key) ?? { case: entry.name, peer: peer.name, samples: [] };
    result.samples[round] = outcome instanceof Error ? undefined : outcome;
    results.set(key, result);
  }
  return [...results.values()];
}
