/**
 * Measures the cost of a value that passes a deadline operator. It runs in a process of its own, like the servers:
 *
 *     node value.js idle
 *     node value.js timeout
 *
 * Prints nanoseconds of CPU time per value, including the part of the bare subscription.
 */
import { type MonoTypeOperatorFunction, Subject, timeout } from 'rxjs';
import { idle } from '../../lib/index.ts';

const VALUES = 1_000_000;

const deadlines: Record<string, () => MonoTypeOperatorFunction<number>> = {
  idle: () => idle(30_000),
  timeout: () => timeout({ each: 30_000 }),
};

const operator = deadlines[process.argv[2] ?? ''];
if (operator === undefined) throw new TypeError(`Cannot measure "${process.argv[2]}"`);

let seen = 0;
const values = new Subject<number>();
const subscription = values.pipe(operator()).subscribe(() => seen++);
for (let value = 0; value < VALUES; value++) values.next(value);
const before = process.cpuUsage();
for (let value = 0; value < VALUES; value++) values.next(value);
const { user, system } = process.cpuUsage(before);
subscription.unsubscribe();
if (seen !== 2 * VALUES) throw new Error(`${seen} of ${2 * VALUES} values passed`);
console.log(((user + system) * 1000) / VALUES);
