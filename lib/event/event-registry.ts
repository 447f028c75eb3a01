import { nearest } from '../common/nearest.js';
import { DuplicateEventError, UnknownEventError } from '../errors.js';
import { defineEvent, type EventDefinition } from './event-definition.js';

/**
 * The events this process knows: those defined here (`forFeature`, `@EventHandler`, `emit` with a
 * definition), and the names that handlers of other processes take.
 */
export class EventRegistry {
  /** name → version → definition */
  private readonly definitions = new Map<string, Map<number, EventDefinition>>();
  /** Names without a definition here: handled by name, here or in another process. */
  private readonly bareNames = new Set<string>();

  /** @throws DuplicateEventError if another definition has the same name and version */
  register(definition: EventDefinition): void {
    const versions = this.definitions.get(definition.name) ?? new Map<number, EventDefinition>();
    const known = versions.get(definition.version);
    if (known === definition) return;
    if (known !== undefined && !isSame(known, definition)) {
      throw new DuplicateEventError(definition.name, definition.version);
    }
    versions.set(definition.version, definition);
    this.definitions.set(definition.name, versions);
  }

  registerName(name: string): void {
    this.bareNames.add(name);
  }

  isRegistered(name: string): boolean {
    return this.definitions.has(name) || this.bareNames.has(name);
  }

  /** All known names, sorted. */
  names(): string[] {
    return [...new Set([...this.definitions.keys(), ...this.bareNames])].toSorted();
  }

  /**
   * The definition to emit `name` with: of that version, or else the highest one.
   *
   * @throws UnknownEventError if nobody here knows the name
   */
  resolve(name: string, version?: number): EventDefinition {
    const versions = this.definitions.get(name);
    if (versions === undefined) {
      if (!this.bareNames.has(name)) {
        throw new UnknownEventError(name, nearest(name, this.names()));
      }
      return defineEvent(name, version === undefined ? {} : { version });
    }
    const highest = versions.get(Math.max(...versions.keys())) as EventDefinition;
    if (version === undefined) return highest;
    // An older or newer version than those defined here: no schema to check it against.
    return versions.get(version) ?? defineEvent(name, { version });
  }
}

/**
 * Two calls of `defineEvent` that say the same are no conflict. Schemas and functions can't be
 * compared, so those must be the same objects.
 */
function isSame(a: EventDefinition, b: EventDefinition): boolean {
  return (
    a.schema === b.schema && a.category === b.category && a.key === b.key && a.entity === b.entity
  );
}
