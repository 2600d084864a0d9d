import { execFile, spawnSync } from 'node:child_process';

const isThere = (tool: string) => spawnSync(tool, ['--help']).error === undefined;

/** Which of libmemcached's tools are missing. */
export const missing = ['memccapable', 'memcaslap'].filter((tool) => !isThere(tool));

/** Whether specs that need the tools are skipped. In CI, where everything must be checked, missing tools are a failure. */
export const skipped = missing.length > 0 && process.env.CI === undefined;

/** What a tool printed, and how it ended. */
export interface ToolResult {
  readonly code: number | string | null;
  readonly output: string;
}

/** Runs one of the tools, for 15 s at most. */
export function run(tool: string, args: readonly string[]): Promise<ToolResult> {
  return new Promise((resolve) => {
    execFile(tool, [...args], { timeout: 15_000 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : (error.code ?? error.signal ?? null), output: stdout + stderr }),
    );
  });
}
