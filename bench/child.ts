// One contender in a process of its own, so that none shares a heap with another. Speaks with
// `parent/child-process.ts`, and ends when that is gone.
import 'reflect-metadata';
import type { Answer, Question, ScenarioModule, Session, Task } from './protocol.js';

process.on('disconnect', () => process.exit(0));
const task = JSON.parse(process.env['BENCH_TASK'] ?? '{}') as Task;
const send = (message: Answer) => process.send?.(message);

try {
  const scenario = (await import(`./scenarios/${task.scenario}.js`)) as ScenarioModule;
  const session = await scenario.start(task);
  process.on('message', (question: Question) => void answer(session, question));
  send({ value: 'ready' });
} catch (error) {
  fail(error);
}

async function answer(session: Session, { ask, argument }: Question): Promise<void> {
  try {
    if (ask === 'close') {
      await session.close();
      send({ value: 'closed' });
      return;
    }
    const answerTo = session.answers[ask];
    if (answerTo === undefined) throw new Error(`the scenario has no answer to "${ask}"`);
    send({ value: await answerTo(argument as never) });
  } catch (error) {
    fail(error);
  }
}

function fail(error: unknown): void {
  send({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
}
