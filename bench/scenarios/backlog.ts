import { boot } from '../contenders/durable-events.js';
import type { Session, Task } from '../protocol.js';
import { Tally } from './tally.js';

export interface BacklogDrained {
  readonly handled: number;
  readonly seconds: number;
  /** Of the process's whole life. */
  readonly peakRssBytes: number;
}

/** An application that boots in front of a long outbox: events 0…`count - 1`. */
export async function start(task: Task): Promise<Session> {
  const tally = new Tally(1);
  const all = tally.expect(0, Number(task.options['count']));
  const started = performance.now();
  const app = await boot(task, (n) => tally.count(n));
  return {
    answers: {
      /** Resolves when all are handled, or after that many ms. */
      async drain(limitMs: number): Promise<BacklogDrained> {
        let overdue: NodeJS.Timeout | undefined;
        const limit = new Promise<void>((resolve) => {
          overdue = setTimeout(resolve, limitMs);
        });
        await Promise.race([all, limit]);
        clearTimeout(overdue);
        return {
          handled: tally.handled,
          seconds: (performance.now() - started) / 1_000,
          peakRssBytes: process.resourceUsage().maxRSS * 1_024,
        };
      },
    },
    close: () => app.close(),
  };
}
