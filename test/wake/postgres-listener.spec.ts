import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { PostgresListener } from '../../lib/wake/postgres-wake-ups.js';
import { deferred } from '../support/wait.js';

/** PostgreSQL's answer to a start of a session: AuthenticationOk, ReadyForQuery. */
const WELCOME = Buffer.from('R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I', 'latin1');

/** Listens at a server that calls `onMessage` with the number of each message of a connection. */
async function listenAt(
  onMessage: (socket: Socket, index: number) => void,
): Promise<PostgresListener> {
  const server = createServer((socket) => {
    let index = 0;
    socket.on('error', () => undefined);
    socket.on('data', () => onMessage(socket, index++));
    onTestFinished(() => void socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const listener = new PostgresListener({ host: '127.0.0.1', port, user: 'u' }, 'c', () => {});
  listener.start();
  return listener;
}

it.each([
  ['resets', (socket: Socket) => socket.resetAndDestroy()],
  ['ends', (socket: Socket) => socket.destroy()],
])(
  'C17: a server that %s the connection instead of an answer to LISTEN is tried again',
  async (_how, leave) => {
    const twice = deferred();
    let left = 0;
    const listener = await listenAt((socket, index) => {
      if (index === 0) return void socket.write(WELCOME);
      leave(socket);
      if (++left === 2) twice.resolve();
    });
    await twice.promise;
    await expect(listener.close()).resolves.toBeUndefined();
  },
);

it('closes while it connects', async () => {
  const asked = deferred();
  const listener = await listenAt(() => asked.resolve());
  await asked.promise;
  await expect(listener.close()).resolves.toBeUndefined();
});
