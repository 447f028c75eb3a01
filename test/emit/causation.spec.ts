import { describe, expect, it } from 'vitest';
import { Causation } from '../../lib/emit/causation.js';

describe('Causation', () => {
  it('is nothing outside of a handler', () => {
    expect(new Causation().current()).toBeUndefined();
  });

  it('names the handled event, and begins a correlation with it', async () => {
    const causation = new Causation();
    await causation.run({ eventId: 'e1', correlationId: undefined }, async () => {
      await Promise.resolve();
      expect(causation.current()).toEqual({ causationId: 'e1', correlationId: 'e1' });
    });
    expect(causation.current()).toBeUndefined();
  });

  it('keeps the correlation of the handled event', () => {
    const causation = new Causation();
    causation.run({ eventId: 'e2', correlationId: 'order-1' }, () => {
      expect(causation.current()).toEqual({ causationId: 'e2', correlationId: 'order-1' });
    });
  });

  it('E6: is not shared between applications', () => {
    const [ours, theirs] = [new Causation(), new Causation()];
    ours.run({ eventId: 'e1', correlationId: undefined }, () => {
      expect(theirs.current()).toBeUndefined();
    });
  });
});
