/** What an event carries, as JSON texts: so it is copied on its way, and parsed where it is read. */
export interface Payload {
  readonly data: string;
  /** An object, if any. */
  readonly metadata: string | null;
}

/** Data and metadata as handlers and readers get them: objects of their own, each time. */
export function parsePayload({ data, metadata }: Payload): {
  readonly data: unknown;
  readonly metadata: Readonly<Record<string, unknown>>;
} {
  return {
    data: JSON.parse(data) as unknown,
    metadata: metadata === null ? {} : (JSON.parse(metadata) as Record<string, unknown>),
  };
}
