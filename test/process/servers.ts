import { onTestFinished } from 'vitest';
import { TcpProxy } from '../support/proxy.js';
import type { PrivateServer } from '../support/services.js';

/** A server of this test alone, which it may end; stopped with the test. */
export async function ownServer(start: () => Promise<PrivateServer>): Promise<PrivateServer> {
  const server = await start();
  onTestFinished(() => server.stop());
  return server;
}

/** The server at `url` behind a proxy that can break; closed with the test. */
export async function proxied(url: string): Promise<{ proxy: TcpProxy; url: string }> {
  const { hostname, port } = new URL(url);
  const proxy = await TcpProxy.listen(hostname, Number(port || DEFAULT_PORTS[schemeOf(url)]));
  onTestFinished(() => proxy.close());
  return { proxy, url: at(url, `127.0.0.1:${proxy.port}`) };
}

/** The same user, password and database at another address. */
export function at(url: string, host: string): string {
  const other = new URL(url);
  other.host = host;
  return other.href;
}

const DEFAULT_PORTS: Record<string, number> = { redis: 6379, postgres: 5432, postgresql: 5432 };

function schemeOf(url: string): string {
  return new URL(url).protocol.slice(0, -1);
}
