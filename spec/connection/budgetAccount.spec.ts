import { expect, it } from 'vitest';
import { BudgetAccount, type BudgetAccountOwner } from '../../lib/connection/budgetAccount.ts';
import type { MemoryBudget } from '../../lib/connection/memoryBudget.ts';

/** An account whose input and output weigh what the spec says, with the changes that it reports to its budget. */
function open() {
  const changes: [before: number, now: number, output: number][] = [];
  const budget = {
    change: ({ weight }: BudgetAccount, before: number, output: number) => changes.push([before, weight, output]),
  };
  const owner = { isDetached: false, input: { weight: 0, holdsPartOfFrame: true }, output: { queue: { weight: 0 } } };
  const account = new BudgetAccount(budget as unknown as MemoryBudget, owner as unknown as BudgetAccountOwner);
  const weigh = (input: number, output: number) => {
    owner.input.weight = input;
    owner.output.queue.weight = output;
    account.update();
  };
  return { account, owner, changes, weigh };
}

it('reports each change of the input or the output once, and nothing else', () => {
  const { account, owner, changes, weigh } = open();
  weigh(0, 0);
  weigh(10, 0);
  weigh(10, 0);
  // The sum is the same: what was input is output now.
  weigh(0, 10);
  account.holdElsewhere(5);
  weigh(1, 10);
  owner.isDetached = true;
  account.update();
  account.update();
  expect(changes).toEqual([
    [0, 10, 0],
    [10, 10, 10],
    [10, 15, 5],
    [15, 16, 0],
    [16, 0, -15],
  ]);
});

it('holds part of a frame if its input does, and more of that than of output', () => {
  const { account, owner, weigh } = open();
  const seen = [
    [2, 1],
    [1, 1],
    [1, 0],
  ].map(([input, output]) => {
    weigh(Number(input), Number(output));
    return account.holdsPartOfFrame;
  });
  expect(seen).toEqual([true, false, true]);
  owner.input.holdsPartOfFrame = false;
  expect(account.holdsPartOfFrame).toBe(false);
});
