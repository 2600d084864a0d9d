import { concat, EMPTY, NEVER, of, Subject, throwError } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { gather } from '../../../demos/redis/resp/gather.ts';
import { watch } from '../../support/bytes.ts';

const callbackEnd = (): Promise<void> => new Promise(process.nextTick);
const texts = (chunks: readonly Uint8Array[]): string[] => chunks.map((chunk) => Buffer.from(chunk).toString('latin1'));

describe('gather', () => {
  it('joins what is emitted in one callback, and nothing that is emitted later', async () => {
    const source = new Subject<string>();
    const seen = watch(source.pipe(gather()));
    source.next('a');
    source.next('b\xff\0');
    expect(seen.values).toEqual([]);
    await callbackEnd();
    source.next('c');
    await callbackEnd();
    expect(texts(seen.values)).toEqual(['ab\xff\0', 'c']);
  });

  it('emits what was gathered, and ends as its source does', () => {
    expect(watch(EMPTY.pipe(gather()))).toEqual({ values: [], completed: true });
    expect(watch(NEVER.pipe(gather()))).toEqual({ values: [], completed: false });
    expect(watch(of('a', 'b').pipe(gather()))).toEqual({ values: [Buffer.from('ab')], completed: true });
    const failing = concat(
      of('a'),
      throwError(() => 'no'),
    );
    expect(watch(failing.pipe(gather()))).toEqual({ values: [Buffer.from('a')], error: 'no', completed: false });
  });

  it('emits at once when `size` bytes have been gathered, so that the input can be paused', () => {
    const source = new Subject<string>();
    const seen = watch(source.pipe(gather({ size: 4 })));
    source.next('abc');
    source.next('de');
    source.next('f');
    expect(texts(seen.values)).toEqual(['abcde']);
  });

  it('emits nothing after it was unsubscribed', async () => {
    const source = new Subject<string>();
    const values: Uint8Array[] = [];
    const subscription = source.pipe(gather()).subscribe((value) => values.push(value));
    source.next('a');
    subscription.unsubscribe();
    await callbackEnd();
    expect(values).toEqual([]);
    expect(source.observed).toBe(false);
  });

  it('calls `before` in front of each chunk that it emits', () => {
    const order: string[] = [];
    of('abcd', 'e')
      .pipe(gather({ size: 4, before: () => order.push('before') }))
      .subscribe((bytes) => order.push(String(bytes)));
    expect(order).toEqual(['before', 'abcd', 'before', 'e']);
  });
});
