import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Peers } from './install-peers.mjs';
import { drain } from './groups/drain.js';
import { emit } from './groups/emit.js';
import { flat } from './groups/flat.js';
import { latency } from './groups/latency.js';
import { memory } from './groups/memory.js';
import { killChildren, OWN_BUILD } from './parent/child-process.js';
import { progress, type Bench, type PeersPlace } from './parent/bench.js';
import { describeMachine } from './parent/machine.js';
import { Results } from './parent/results.js';
import { Servers } from './parent/servers.js';
import { writeReport } from './report/report.js';
import type { GroupName, Settings } from './settings.js';

export { parseSettings } from './settings.js';

const BENCH = fileURLToPath(new URL('../..', import.meta.url));
const FOLDERS = { own: join(BENCH, '..'), peers: join(BENCH, 'peers') };

const GROUP_RUNS: Readonly<Record<GroupName, (bench: Bench) => Promise<void>>> = {
  emit,
  drain,
  latency,
  flat,
  memory,
};

/**
 * Measures, and prints the report.
 *
 * @param peers what the libraries to compare with can be run with
 * @returns whether everything of the library's own could be measured, and no event was missed
 */
export async function main(settings: Settings, peers: Peers): Promise<boolean> {
  const node = settings.node ?? peers.node ?? process.execPath;
  const machine = describeMachine(node);
  const servers = await Servers.open(process.env);
  const run = guard(servers, settings.limitMs);
  try {
    const results = new Results();
    const own = { node, build: OWN_BUILD };
    const bench: Bench = { settings, servers, results, own, peers: placeOfPeers(peers, node) };
    for (const group of settings.groups) await GROUP_RUNS[group](bench);
    // What it has seen while its servers went away is no result.
    if (run.abandoned) await new Promise(() => undefined);
    writeReport({ settings, machine, servers, results, folders: FOLDERS });
    return results.failures.length === 0;
  } finally {
    run.ended();
    await servers.close();
  }
}

function placeOfPeers({ missing, node: newNode, noNode }: Peers, node: string): PeersPlace {
  return {
    build: missing === undefined ? join(FOLDERS.peers, '.build') : undefined,
    node: newNode === undefined ? undefined : node,
    reason: missing ?? noNode ?? '',
  };
}

/** Ends everything that was started when the run is interrupted or takes too long. */
function guard(servers: Servers, limitMs: number) {
  const abandon = async (why: string, code: number) => {
    state.abandoned = true;
    progress(`${why}, cleaning up`);
    killChildren();
    await servers.close();
    process.exit(code);
  };
  const interrupted = () => void abandon('interrupted', 130);
  const terminated = () => void abandon('terminated', 143);
  const overdue = setTimeout(() => void abandon('it takes too long', 1), limitMs);
  process.once('SIGINT', interrupted);
  process.once('SIGTERM', terminated);
  const state = {
    abandoned: false,
    ended(): void {
      clearTimeout(overdue);
      process.off('SIGINT', interrupted);
      process.off('SIGTERM', terminated);
    },
  };
  return state;
}
