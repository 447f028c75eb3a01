/** Cap of event names and handler ids, in characters. */
export const MAX_NAME_LENGTH = 200;

const EVENT_NAME = /^[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}$/;

/** Names end up in tables, logs and job data: an allow-list keeps them safe everywhere. */
export function isEventName(name: unknown): boolean {
  return typeof name === 'string' && EVENT_NAME.test(name);
}

/** Handler ids follow the rule of event names, and may hold `$` as class names do. */
export function isHandlerId(id: unknown): boolean {
  return typeof id === 'string' && /^[A-Za-z0-9_$][A-Za-z0-9._:/$-]{0,199}$/.test(id);
}
