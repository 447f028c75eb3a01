/** What a child is to be: a scenario with a contender in it. */
export interface Task {
  /** Module below `scenarios/`, without `.js`. */
  readonly scenario: string;
  /** Module of the contender, relative to this folder, without `.js`. */
  readonly contender: string;
  readonly databaseUrl: string;
  readonly redisUrl: string;
  /** What the contender's variant and the scenario need beyond. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** What a scenario answers to; closed when the child ends. */
export interface Session {
  readonly answers: Readonly<Record<string, (argument: never) => Promise<unknown>>>;
  close(): Promise<void>;
}

/** What a module below `scenarios/` exports. */
export interface ScenarioModule {
  start(task: Task): Promise<Session>;
}

/** From the parent. */
export type Question = { readonly ask: string; readonly argument: unknown };

/** To the parent: that it is ready, or an answer. */
export type Answer = { readonly value: unknown } | { readonly error: string };
