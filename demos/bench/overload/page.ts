import type { NodeProgram } from '../proc/node.ts';
import { describeMachine } from '../report/machine.ts';

/** The page of the results, in Markdown. */
export async function page(args: readonly string[], node: NodeProgram, results: string): Promise<string> {
  const command = ['npm run overload', ...(args.length > 0 ? ['--', ...args.map(short)] : [])].join(' ');
  const machine = await describeMachine(node);
  return `# Results under overload

This page is generated.

\`\`\`sh
${command}
\`\`\`

${[new Date().toISOString(), ...machine].map((line) => `- ${line}`).join('\n')}

## How to read it

- Each row is measured twice: on the server with the option, and on its control, the same server without it, or with what the
  last line of the row names. The control has to miss a limit.
- The clients are bare handles of Node in processes of their own, on the other core than the server. Those that are only load have
  the lowest priority, so that they do not delay those that are measured. How late the measuring process itself was is printed
  beside the latencies: they contain it. So is the time for which the server was ready to run and had no core.
- A latency begins with the SYN and ends with the reply. Clients that arrive do so at a fixed rate, whatever the server does.
- The event-loop delay is that of a timer of 2 ms in the server's process.
- \`machine\` is a latency beyond its limit that is within it in the time in which the server had its core: each is less the time for
  which the server was ready to run meanwhile, and another process ran, from \`/proc/<pid>/schedstat\`.
- In the row \`spread\`, steps in which the server or the clients had no core for 5 ms or more are left out.
- What has no limit explains the other figures.

## Results

${results}
`;
}

/** A program of Node by its name alone: where it is says nothing. */
const short = (argument: string) => (argument.includes('/') ? 'PATH' : argument);
