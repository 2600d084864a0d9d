import { type PerAddressLimit, perAddressLimit, perSecond } from '../options.ts';
import { networkList, onList } from '../proxyProtocol/trusted.ts';
import { PREFIX } from './addressKey.ts';
import type { AdmissionRules } from './admission.ts';
import type { ListenOptions } from './listenOptions.ts';
import type { Current, Live, LiveOptions } from './live.ts';

/**
 * The rules of admission that the options of a port give.
 *
 * @param live Where those that are Observables are added.
 * @param concurrency How many connections are served at a time: with it, `perAddress` has a default.
 * @param changed Called when a peer may have more connections, or fewer, than before.
 */
export function admissionRules(
  { allow, deny, perAddress, accepts, admit, overflow }: ListenOptions,
  live: LiveOptions,
  concurrency: Current<number> | undefined,
  changed: () => void,
): AdmissionRules {
  const list = (name: string, given: Live<readonly string[]> | undefined) =>
    given === undefined ? undefined : live.add(given, { name, allowed: networkList, read: onList });
  const rate = (name: string, given: Live<number> = Number.POSITIVE_INFINITY) =>
    live.add(given, { name, allowed: perSecond });
  const given = perAddress?.connections;
  const most: Live<PerAddressLimit> = given ?? 'share';
  const connections = live.add(most, { name: 'perAddress.connections', allowed: perAddressLimit, changed });
  // Where clients wait in the queue of the kernel, others cannot pass by: there is no share.
  const shared = overflow === 'park' ? undefined : concurrency;
  const each = accepts?.perAddress;
  return {
    deny: list('deny', deny),
    allow: list('allow', allow),
    prefix: { 4: perAddress?.prefix?.[4] ?? PREFIX[4], 6: perAddress?.prefix?.[6] ?? PREFIX[6] },
    perAddress: given !== undefined || shared ? { connections, concurrency: shared } : undefined,
    accepts: accepts && {
      perSecond: rate('accepts.perSecond', accepts.perSecond),
      burst: accepts.burst,
      perAddress: each && { perSecond: rate('accepts.perAddress.perSecond', each.perSecond), burst: each.burst },
      ramp: accepts.ramp ?? 0,
    },
    admit,
  };
}
