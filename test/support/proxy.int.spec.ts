import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TcpProxy } from './proxy.js';
import { eventually } from './wait.js';

describe('TcpProxy', () => {
  let echo: Server;
  let proxy: TcpProxy;
  let clients: Socket[];
  let served: Socket[];

  beforeEach(async () => {
    clients = [];
    served = [];
    echo = createServer((socket) => {
      served.push(socket.on('error', () => {}));
      socket.pipe(socket);
    });
    echo.listen(0, '127.0.0.1');
    await once(echo, 'listening');
    proxy = await TcpProxy.listen('127.0.0.1', (echo.address() as AddressInfo).port);
  });

  afterEach(async () => {
    for (const client of clients) client.destroy();
    await proxy.close();
    echo.close();
  });

  it('passes bytes both ways', async () => {
    const client = await open();
    expect(await say(client, 'hello')).toBe('hello');
  });

  it('resets open and new connections while cut, and serves again when healed', async () => {
    const client = await open();
    await say(client, 'hello');
    proxy.cut();
    expect(await lastError(client)).toBe('ECONNRESET');
    expect(await lastError(dial())).toBe('ECONNRESET');
    proxy.heal();
    expect(await say(await open(), 'again')).toBe('again');
  });

  it('strands the connections there are, for good, and serves new ones', async () => {
    const stranded = await open();
    await say(stranded, 'hello');
    proxy.strand();
    const answers: unknown[] = [];
    stranded.on('data', (data) => answers.push(data));
    stranded.write('lost');
    served[0]?.write('lost');
    expect(await say(await open(), 'again')).toBe('again');
    proxy.heal();
    expect(await say(await open(), 'still')).toBe('still');
    expect(answers).toEqual([]);
    expect(stranded.destroyed).toBe(false);
  });

  it('keeps connections open and loses their bytes in the black hole', async () => {
    const client = await open();
    await say(client, 'hello');
    proxy.blackhole();
    const late = await open();
    await eventually(() => proxy.clients === 2, { what: 'the proxy has both connections' });
    const answers: unknown[] = [];
    for (const socket of [client, late]) {
      socket.on('data', (data) => answers.push(data));
      socket.write('lost');
    }
    served[0]?.write('lost');
    served[0]?.destroy();
    await once(served[0]!, 'close');
    proxy.heal();
    expect(await Promise.all([lastError(client), lastError(late)])).toEqual([
      'ECONNRESET',
      'ECONNRESET',
    ]);
    expect(await say(await open(), 'again')).toBe('again');
    expect(answers).toEqual([]);
    expect(served).toHaveLength(2);
  });

  async function open(): Promise<Socket> {
    const client = dial();
    await once(client, 'connect');
    return client;
  }

  function dial(): Socket {
    const client = connect(proxy.port, '127.0.0.1');
    clients.push(client);
    return client;
  }

  async function say(client: Socket, text: string): Promise<string> {
    client.write(text);
    const [data] = await once(client, 'data');
    return String(data);
  }

  async function lastError(client: Socket): Promise<string> {
    const [error] = await once(client, 'error');
    return error.code;
  }
});
