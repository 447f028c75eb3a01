import { describe } from 'vitest';
import { describeAppend } from './append.contract.js';
import { describeBury } from './bury.contract.js';
import { describeChunks } from './chunks.contract.js';
import { ContractContext } from './contract-context.js';
import { describeDeadLetters } from './dead-letters.contract.js';
import { describeFidelity } from './fidelity.contract.js';
import { describeHandlers } from './handlers.contract.js';
import { describeHealth } from './health.contract.js';
import type { StoreHarness } from './harness.js';
import { describeMarks } from './marks.contract.js';
import { describeOperations } from './operations.contract.js';
import { describeReads } from './reads.contract.js';
import { describeRefill } from './refill.contract.js';
import { describeRelay } from './relay.contract.js';
import { describeRescue } from './rescue.contract.js';
import { describeTimes } from './times.contract.js';

/** Everything that the library expects of a database's store. A dialect passes all of it. */
export function describeStoreContract(harness: StoreHarness): void {
  describe(`the store on ${harness.name}`, () => {
    const context = new ContractContext(harness);
    describeAppend(context);
    describeRelay(context);
    describeChunks(context);
    describeMarks(context);
    describeRescue(context);
    describeRefill(context);
    describeReads(context);
    describeHandlers(context);
    describeDeadLetters(context);
    describeBury(context);
    describeOperations(context);
    describeHealth(context);
    describeTimes(context);
    describeFidelity(context);
  });
}
