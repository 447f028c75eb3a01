import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, Socket } from 'node:net';

type Mode = 'healthy' | 'cut' | 'blackhole';

/**
 * A TCP proxy on loopback that breaks on demand, for fault tests.
 *
 * - `cut`: every connection is reset, and new ones are too.
 * - `blackhole`: connections stay open and new ones are accepted, but bytes vanish both ways.
 * - `strand`: the connections that exist are lost in a black hole for good; new ones are healthy.
 * - `heal`: new connections work again. Those in the black hole are reset: they have lost bytes.
 */
export class TcpProxy {
  private mode: Mode = 'healthy';
  private readonly links = new Set<Link>();

  private constructor(
    private readonly server: Server,
    private readonly targetHost: string,
    private readonly targetPort: number,
  ) {
    server.on('connection', (client) => this.accept(client));
  }

  static async listen(targetHost: string, targetPort: number): Promise<TcpProxy> {
    const server = createServer();
    const proxy = new TcpProxy(server, targetHost, targetPort);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Connections that their clients hold open. */
  get clients(): number {
    return [...this.links].filter((link) => link.isHeld).length;
  }

  cut(): void {
    this.mode = 'cut';
    this.resetAll();
  }

  blackhole(): void {
    this.mode = 'blackhole';
    for (const link of this.links) link.swallow();
  }

  strand(): void {
    this.mode = 'healthy';
    for (const link of this.links) link.swallow();
  }

  heal(): void {
    if (this.mode === 'blackhole') this.resetAll();
    this.mode = 'healthy';
  }

  async close(): Promise<void> {
    this.resetAll();
    this.server.close();
    await once(this.server, 'close');
  }

  private accept(client: Socket): void {
    if (this.mode === 'cut') {
      client.on('error', () => {});
      client.resetAndDestroy();
      return;
    }
    const reachable = this.mode === 'healthy';
    const target = reachable ? connect(this.targetPort, this.targetHost) : new Socket();
    const link = new Link(client, target);
    if (!reachable) link.swallow();
    this.links.add(link);
    link.onEnd(() => this.links.delete(link));
  }

  private resetAll(): void {
    for (const link of this.links) link.reset();
  }
}

/** A client's connection and ours to the target. */
class Link {
  private swallowing = false;

  constructor(
    private readonly client: Socket,
    private readonly target: Socket,
  ) {
    for (const [from, to] of this.directions()) {
      from.setNoDelay(true);
      from.pipe(to);
      from.on('error', () => this.swallowing || this.reset());
      from.on('close', () => this.swallowing || to.destroySoon());
    }
  }

  get isHeld(): boolean {
    return !this.client.destroyed;
  }

  onEnd(listener: () => void): void {
    let open = 2;
    for (const [socket] of this.directions()) {
      socket.once('close', () => --open === 0 && listener());
    }
  }

  /** From here on neither side learns what the other does, not even that it is gone. */
  swallow(): void {
    this.swallowing = true;
    for (const [from, to] of this.directions()) {
      from.unpipe(to);
      from.resume();
    }
  }

  reset(): void {
    this.client.resetAndDestroy();
    this.target.resetAndDestroy();
  }

  private directions(): [Socket, Socket][] {
    return [
      [this.client, this.target],
      [this.target, this.client],
    ];
  }
}
