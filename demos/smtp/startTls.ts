import type { TlsOptions } from 'node:tls';
import { filter, firstValueFrom, isObservable, type Observable, of, shareReplay, tap } from 'rxjs';
import type { CertificateError, CertificateFiles } from '../../lib/index.ts';

/**
 * Follows a certificate that is renewed.
 *
 * @param tls The options, or an Observable of them.
 * @param unusable Called with the error of files that cannot be used.
 * @returns A function that returns the newest of them. Files that cannot be used do not replace those that could.
 */
export async function newest(
  tls: TlsOptions | Observable<TlsOptions>,
  unusable: (error: CertificateError) => void,
): Promise<() => TlsOptions> {
  let current: TlsOptions = {};
  const all: Observable<TlsOptions & Pick<CertificateFiles, 'error'>> = isObservable(tls) ? tls : of(tls);
  const usable = all.pipe(
    tap(({ error }) => error && unusable(error)),
    filter(({ error }) => error === undefined),
    tap((options) => {
      current = options;
    }),
    shareReplay(1),
  );
  await firstValueFrom(usable);
  return () => current;
}
