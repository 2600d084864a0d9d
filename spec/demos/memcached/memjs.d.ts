/** The part of memjs that the spec uses. The package has no types. */
declare module 'memjs' {
  interface Got {
    readonly value: Buffer | null;
    readonly flags: Buffer | null;
  }
  interface Expiry {
    /** In seconds. */
    readonly expires?: number;
  }
  interface Amount extends Expiry {
    readonly initial?: number;
  }
  export class Client {
    static create(servers: string, options?: { readonly retries?: number; readonly timeout?: number }): Client;
    get(key: string): Promise<Got>;
    set(key: string, value: string | Buffer, options: Expiry): Promise<boolean>;
    add(key: string, value: string | Buffer, options: Expiry): Promise<boolean>;
    replace(key: string, value: string | Buffer, options: Expiry): Promise<boolean>;
    append(key: string, value: string | Buffer): Promise<boolean>;
    delete(key: string): Promise<boolean>;
    touch(key: string, expires: number): Promise<boolean>;
    increment(
      key: string,
      amount: number,
      options: Amount,
    ): Promise<{ readonly success: boolean; readonly value: number }>;
    decrement(
      key: string,
      amount: number,
      options: Amount,
    ): Promise<{ readonly success: boolean; readonly value: number }>;
    stats(visit: (error: Error | null, server: string, stats: Record<string, string>) => void): void;
    close(): void;
  }
}
