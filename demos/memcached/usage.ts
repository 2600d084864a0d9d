/** What `-h` prints: the flags of memcached that have a meaning here. */
export const USAGE = `Flags, as memcached has them:
  -p, --port=<n>             TCP port; 0 for any free one (default: 11211)
  -l, --listen=<addresses>   addresses to listen on, separated by commas, each with an optional :port (default: all)
  --host=<addresses>         the same
  -s, --unix-socket=<file>   listen on a unix socket instead
  -c, --conn-limit=<n>       connections served at once (default: 1024)
  -b, --listen-backlog=<n>   connections that may wait (default: 1024)
  -m, --memory-limit=<n>     memory for items, in mebibytes (default: 64)
  -I, --max-item-size=<n>    largest item, in bytes or with k or m (default: 1m)
  -M, --disable-evictions    refuse new items when the memory is full, instead of evicting old ones
  -F, --disable-flush-all    do not allow flush_all
  -A, --enable-shutdown      allow the command shutdown
  -v, --verbose              log more; -vv and -vvv even more
  -V, --version              print the version
  -h, --help                 print this
  -o, --extended=<options>   separated by commas:
       idle_timeout=<n>      seconds a connection may be silent (default: 0, no limit)
       maxconns_fast         close connections above the limit at once (default)
       no_maxconns_fast      let up to -b of them wait
  --tls-cert=<file>          serve TLS with this certificate and its chain, in PEM; it is read again when renewed
  --tls-key=<file>           the key of the certificate, in PEM
  --tls-ca=<file>            clients must have a certificate of one of these authorities, in PEM
  --tls-self-signed          serve TLS with a new certificate that no client trusts, for tries
  --proxy-from=<cidr>        accept only proxies that send the PROXY protocol; can be repeated
  --admin=<port>             live page, probes and metrics at this port; 0 for any free one
  -t, -u, -U 0               accepted and ignored
`;
