// The README's first example as a user has it: in JavaScript and TypeScript, as an ES module and with `require`, on the runtime whose
// command is passed. Exits with 0 if each program serves a client and drains. It runs in a folder where the package is installed.
//
//     node first.mjs prepare README.md TSC         writes the programs, and compiles those in TypeScript
//     node first.mjs run [--typescript] COMMAND…   runs them; with TypeScript as it is written, too
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

const [task, ...args] = process.argv.slice(2);
if (task === 'prepare') prepare(...args);
else await runAll(args);

function prepare(readme, tsc) {
  const [, code] = readFileSync(readme, 'utf8').match(/^```ts\n([\s\S]*?)^```$/m);
  const example = code.replace('port: 7000', 'port: 0');
  writeFileSync('typed.mts', example);
  // TypeScript writes a `require` for each import here.
  writeFileSync('typed.cts', example);
  const modules = { module: 'NodeNext', target: 'ES2022', types: ['node'] };
  const compilerOptions = { ...modules, strict: true, skipLibCheck: false, outDir: 'compiled' };
  writeFileSync('tsconfig.json', JSON.stringify({ compilerOptions, files: ['typed.mts', 'typed.cts'] }));
  execFileSync(tsc, ['-p', '.'], { stdio: 'inherit' });
  // In JavaScript the example only lacks its type.
  const plain = example.replace('(line: string)', '(line)');
  writeFileSync('module.mjs', plain);
  writeFileSync('required.cjs', plain.replace(/^import (\{.*\}) from ('.*');$/gm, 'const $1 = require($2);'));
}

async function runAll(given) {
  const isTyped = given[0] === '--typescript';
  const command = isTyped ? given.slice(1) : given;
  const programs = ['module.mjs', 'required.cjs', 'compiled/typed.mjs', 'compiled/typed.cjs'];
  const all = await Promise.all([...programs, ...(isTyped ? ['typed.mts'] : [])].map((file) => run(command, file)));
  for (const { file, failure } of all) console.log(`${file}: ${failure ?? 'serves and drains'}`);
  process.exit(all.some(({ failure }) => failure) ? 1 : 0);
}

/** Runs a program, sends it two lines, and ends it as Ctrl-C does. */
async function run([command, ...options], file) {
  const child = spawn(command, [...options, file], { stdio: ['ignore', 'pipe', 'pipe'] });
  const timer = setTimeout(() => child.kill('SIGKILL'), 30_000);
  let errors = '';
  child.stderr.on('data', (text) => {
    errors += text;
  });
  const exit = new Promise((resolve) => {
    child.on('close', (code, signal) => resolve(code ?? signal));
  });
  const types = [];
  let reply = '';
  for await (const line of createInterface(child.stdout)) {
    const { type, address } = JSON.parse(line);
    types.push(type);
    if (type === 'closed') child.kill('SIGINT');
    if (type !== 'listening') continue;
    const client = connect(address.port, '127.0.0.1', () => client.end('hello\nworld\n'));
    client.setEncoding('utf8').on('data', (text) => {
      reply += text;
    });
  }
  const code = await exit;
  clearTimeout(timer);
  const isRight =
    code === 0 && errors === '' && reply === 'HELLO\nWORLD\n' && types.join() === 'listening,closed,draining,drained';
  return { file, failure: isRight ? undefined : JSON.stringify({ code, types, reply, errors }) };
}
