// Starts the sample application as its reader does, without any service, and follows one order
// through it: saved, its event handled three times, one mail retried.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { findFreePort } from './services/free-port.mjs';

const START_TIMEOUT_MS = 120_000;
const HANDLED_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 20_000;
const REQUEST_TIMEOUT_MS = 5_000;

/**
 * @typedef {{ id: string, eventId: string }} Order
 * @typedef {{ handler: string, status: string, attempts: number }} Delivery
 * @typedef {{ timeline: { name: string, deliveries: Delivery[] }[] }} Timeline
 */

const port = await findFreePort();
const base = `http://127.0.0.1:${port}`;
const app = startSample();
try {
  const { id, eventId } = await placeOrder();
  console.log(`placed order ${id}, event ${eventId}`);
  console.log(JSON.stringify(await handledTimeline(id), null, 2));
  await stopSample();
  console.log('stopped cleanly');
} catch (error) {
  console.error(app.output());
  app.signal('SIGKILL');
  throw error;
}

function startSample() {
  const { DATABASE_URL: _database, REDIS_URL: _redis, ...env } = process.env;
  const child = spawn('npm', ['start'], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    env: { ...env, PORT: String(port) },
    // Its own process group: npm, its shell and the application get the signal together.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (data) => {
      output += data;
    });
  }
  /** @param {NodeJS.Signals} name */
  const signal = (name) => {
    try {
      process.kill(-(/** @type {number} */ (child.pid)), name);
    } catch {
      // The group is gone already.
    }
  };
  const giveUp = (/** @type {number} */ code) => {
    signal('SIGKILL');
    process.exit(code);
  };
  process.on('SIGINT', () => giveUp(130));
  process.on('SIGTERM', () => giveUp(143));
  return { child, signal, exited: once(child, 'exit'), output: () => output };
}

async function placeOrder() {
  const order = {
    customer: 'ada@example.com',
    items: [{ sku: 'A1', quantity: 2, price: 5 }],
  };
  return poll('the order is accepted', START_TIMEOUT_MS, async () => {
    const response = await fetch(`${base}/orders`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(order),
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    if (response.status === 201) return /** @type {Promise<Order>} */ (response.json());
    throw new Error(`POST /orders answered ${response.status}: ${await response.text()}`);
  });
}

/** @param {string} id */
async function handledTimeline(id) {
  return poll('all deliveries are completed', HANDLED_TIMEOUT_MS, async () => {
    const response = await fetch(`${base}/orders/${id}`, {
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    const { timeline } = /** @type {Timeline} */ (await response.json());
    const deliveries = timeline.find(({ name }) => name === 'order.placed')?.deliveries ?? [];
    const mail = deliveries.find(({ handler }) => handler.includes('mail'));
    const done =
      deliveries.length === 3 &&
      deliveries.every(({ status }) => status === 'completed') &&
      mail?.attempts === 2;
    if (!done) throw new Error(JSON.stringify(timeline));
    return timeline;
  });
}

async function stopSample() {
  app.signal('SIGTERM');
  const timer = setTimeout(() => app.signal('SIGKILL'), STOP_TIMEOUT_MS);
  const [code, signal] = await app.exited;
  clearTimeout(timer);
  if (code !== 0) throw new Error(`npm start ended with ${signal ?? `exit code ${code}`}`);
}

/**
 * @template T
 * @param {string} what
 * @param {number} timeout
 * @param {() => Promise<T>} probe rejects while it isn't so
 * @returns {Promise<T>}
 */
async function poll(what, timeout, probe) {
  const deadline = Date.now() + timeout;
  for (;;) {
    try {
      return await probe();
    } catch (error) {
      if (app.child.exitCode !== null) {
        throw new Error('npm start ended by itself', { cause: error });
      }
      if (Date.now() >= deadline) {
        throw new Error(`Not within ${timeout} ms: ${what}`, { cause: error });
      }
    }
    await delay(100);
  }
}
