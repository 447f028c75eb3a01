/** Lists by key, in the order in which each was seen. */
export function groupBy<T, K>(list: readonly T[], keyOf: (each: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const each of list) {
    const key = keyOf(each);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [each]);
    else group.push(each);
  }
  return groups;
}

/** `<position>/<handler>`, by which deliveries are named. */
export function deliveryName({
  position,
  handler,
}: {
  readonly position: number | undefined;
  readonly handler: string;
}): string {
  return `${position}/${handler}`;
}
