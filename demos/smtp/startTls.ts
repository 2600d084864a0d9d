import type { TlsOptions } from 'node:tls';
import { filter, firstValueFrom, isObservable, map, type Observable, of, shareReplay } from 'rxjs';
import type { CertificateFiles } from '../../lib/index.ts';

/**
 * Follows a certificate that is renewed.
 *
 * @param tls The options, or an Observable of them.
 * @returns A function that returns the newest of them. Files that cannot be used do not replace those that could.
 */
export async function newest(tls: TlsOptions | Observable<TlsOptions>): Promise<() => TlsOptions> {
  let current: TlsOptions = {};
  const all: Observable<TlsOptions & Pick<CertificateFiles, 'error'>> = isObservable(tls) ? tls : of(tls);
  const usable = all.pipe(
    filter(({ error }) => error === undefined),
    map((options) => {
      current = options;
    }),
    shareReplay(1),
  );
  await firstValueFrom(usable);
  return () => current;
}
