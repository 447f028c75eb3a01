import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
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

/**
 * The PostgreSQL at `url` behind a proxy; while `failing`, it ends every new connection in the very
 * packet that accepts it, as a server does that goes away in this moment.
 */
export async function endingAtOnce(url: string): Promise<{ url: string; failing: boolean }> {
  const { hostname, port } = new URL(url);
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(Number(port || 5432), hostname);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from.on('error', () => to.destroy()).on('close', () => to.destroy()));
    }
    client.pipe(upstream);
    upstream.on('data', (data) => {
      const accepted = proxy.failing && data.subarray(-READY.length).equals(READY);
      client.write(accepted ? Buffer.concat([data, GOING_AWAY]) : data);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const { port: own } = server.address() as AddressInfo;
  const proxy = { url: at(url, `127.0.0.1:${own}`), failing: false };
  return proxy;
}

/** The server's messages ReadyForQuery (idle), and ErrorResponse. */
const READY = Buffer.from('Z\0\0\0\x05I', 'latin1');
const REASON = 'SFATAL\0C57P01\0Mterminating connection due to unexpected postmaster exit\0\0';
const GOING_AWAY = Buffer.concat([
  Buffer.from(['E'.charCodeAt(0), 0, 0, 0, REASON.length + 4]),
  Buffer.from(REASON),
]);

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
