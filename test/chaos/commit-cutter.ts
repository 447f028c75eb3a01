import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** `request`: it never reaches the server. `answer`: the server commits, and the client never knows. */
export type CommitCut = 'request' | 'answer';

/** A proxy before the database that breaks a connection exactly at its COMMIT (failure mode A13). */
export class CommitCutter {
  private armed: CommitCut | undefined;
  private readonly sockets = new Set<Socket>();
  cuts = 0;

  private constructor(
    private readonly server: Server,
    private readonly targetPort: number,
    private readonly commitMessage: Buffer,
  ) {
    server.on('connection', (client) => this.accept(client));
  }

  /** @param commitMessage what a COMMIT looks like on the wire */
  static async listen(targetPort: number, commitMessage: Buffer): Promise<CommitCutter> {
    const server = createServer();
    const cutter = new CommitCutter(server, targetPort, commitMessage);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return cutter;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Cuts the next COMMIT of any connection. */
  arm(cut: CommitCut): void {
    this.armed = cut;
  }

  disarm(): void {
    this.armed = undefined;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.resetAndDestroy();
    this.server.close();
    await once(this.server, 'close');
  }

  private accept(client: Socket): void {
    const target = connect(this.targetPort, '127.0.0.1');
    const reset = () => {
      client.resetAndDestroy();
      target.resetAndDestroy();
    };
    let answerIsCut = false;
    client.on('data', (chunk) => {
      if (this.armed !== undefined && chunk.includes(this.commitMessage)) {
        const cut = this.armed;
        this.armed = undefined;
        this.cuts++;
        if (cut === 'request') return reset();
        answerIsCut = true;
      }
      if (!target.write(chunk)) client.pause();
    });
    target.on('data', (chunk) => {
      // It has answered, so the transaction is committed.
      if (answerIsCut) return reset();
      if (!client.write(chunk)) target.pause();
    });
    client.on('drain', () => target.resume());
    target.on('drain', () => client.resume());
    for (const socket of [client, target]) {
      socket.setNoDelay(true);
      this.sockets.add(socket);
      socket.on('error', reset);
      socket.on('end', () => (socket === client ? target : client).end());
      socket.on('close', () => {
        this.sockets.delete(socket);
        reset();
      });
    }
  }
}
