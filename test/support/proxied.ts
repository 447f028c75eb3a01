import { inject, onTestFinished } from 'vitest';
import type { QueueTarget } from 'nestjs-durable-events';
import type { QueueKind } from './bull.js';
import { TcpProxy } from './proxy.js';
import type { TestBackends } from './test-app.js';

/** A file's queue behind a proxy that can break. Closed with the test. */
export async function proxiedQueue(
  backends: TestBackends,
  kind: QueueKind,
): Promise<{ proxy: TcpProxy; queue: QueueTarget }> {
  const url = new URL(kind === 'redis' ? inject('redisUrl') : backends.database.url);
  const proxy = await TcpProxy.listen(url.hostname, Number(url.port));
  onTestFinished(() => proxy.close());
  url.hostname = '127.0.0.1';
  url.port = String(proxy.port);
  const target = url.toString();
  return {
    proxy,
    queue: kind === 'redis' ? { ...backends.redis, redis: target } : { postgres: target },
  };
}
